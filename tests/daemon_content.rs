//! Questions by distance and about content, asked of the real daemon: what is found, what is undecided and why, who may
//! ask, and what is refused.

mod daemon_support;
mod pictures_support;

use std::fs::File;
use std::io::{Read, Write};

use daemon_support::{Daemon, Raw, known};
use hashward::fingerprint::{Kind, KindRadius, Radii, hash_bytes};
use hashward::matching::{Answer, Answers, Reason, Verdict};
use hashward::protocol::{
    Address, Client, ClientError, ContentFrame, ContentOptions, ErrorCode, Op, RequestId, decode_answers,
    encode_content, encode_lookup,
};
use pictures_support::{jpeg, mirrored, pdq, photo, png, resized};
use rustix::fs::{MemfdFlags, SealFlags};

/// A daemon whose list `seized` knows the PDQ of `photo(1)`.
fn daemon(config: &str) -> Daemon {
    let daemon = Daemon::start(config);
    daemon.add("seized", [pdq(&photo(1))]);
    daemon
}

fn radii(text: &str) -> Radii {
    text.split(',').map(|one| one.parse::<KindRadius>().unwrap()).collect()
}

fn only(answers: &Answers) -> (Verdict, Option<&Answer>) {
    assert_eq!(answers.rows, 1);
    let answer = answers.iter().next().unwrap();
    (answer.map_or(answers.miss, |answer| answer.verdict), answer)
}

/// Asserts that the list `seized` knows the file, by distance.
fn check_known(answers: &Answers) {
    let (verdict, answer) = only(answers);
    let answer = answer.expect("a hit");
    assert_eq!((verdict, answer.matches[0].list.as_str()), (Verdict::Known, "seized"));
    assert!(answer.matches[0].distance.is_some_and(|distance| distance <= 31), "{answer:?}");
    assert_eq!(answer.nearest.iter().map(|near| &near.fingerprint).collect::<Vec<_>>(), [&pdq(&photo(1))]);
}

fn check_undecided(answers: &Answers, reason: Reason) {
    assert_eq!(only(answers).0, Verdict::Undecided(reason), "{answers:?}");
    assert_eq!(answers.incomplete, [(Kind::Pdq, reason)]);
    assert_eq!(answers.checked, [Kind::Md5]);
}

fn failure(answered: Result<Answers, ClientError>) -> ErrorCode {
    match answered.unwrap_err() {
        ClientError::Failed(failure) => failure.code,
        other => panic!("expected a failure, found {other}"),
    }
}

#[test]
fn a_copy_of_a_known_picture_is_known_by_its_hash() {
    let daemon = daemon("");
    let mut client = daemon.client();
    let copy = pdq(&resized(&photo(1), 0.5));
    assert_ne!(copy, pdq(&photo(1)), "the copy has another hash");
    let mut ask = |kinds: &[Kind], radii: &Radii, rows: &[u8]| client.lookup(kinds, radii, rows);
    check_known(&ask(&[Kind::Pdq], &Radii::none(), copy.value()).unwrap());
    let other = ask(&[Kind::Pdq], &Radii::none(), pdq(&photo(2)).value()).unwrap();
    assert_eq!(only(&other), (Verdict::Unknown, None));

    // A question may narrow the radius, and widen it as far as the config says.
    let narrow = ask(&[Kind::Pdq], &radii("pdq=0"), copy.value()).unwrap();
    assert_eq!(only(&narrow).0, Verdict::Unknown);
    check_known(&ask(&[Kind::Pdq], &radii("pdq=40"), copy.value()).unwrap());
    assert_eq!(failure(ask(&[Kind::Pdq], &radii("pdq=41"), copy.value())), ErrorCode::TooLarge);

    // Exact and perceptual kinds in one row.
    let row = [known(1_000).value(), copy.value()].concat();
    let both = ask(&[Kind::Md5, Kind::Pdq], &Radii::none(), &row).unwrap();
    check_known(&both);
    assert_eq!(both.checked, [Kind::Md5, Kind::Pdq]);

    let many = copy.value().repeat(1_025);
    assert_eq!(failure(ask(&[Kind::Pdq], &Radii::none(), &many)), ErrorCode::TooLarge);
    let most = ask(&[Kind::Pdq], &Radii::none(), &many[32..]).unwrap();
    assert_eq!(most.hits.len(), 1_024);
}

#[test]
fn a_copy_of_a_known_picture_is_known_by_its_content() {
    let daemon = daemon("");
    let mut client = daemon.client();
    let plain = ContentOptions::default();
    for copy in [png(&photo(1)), jpeg(&photo(1), 60), png(&resized(&photo(1), 0.5)), jpeg(&resized(&photo(1), 2.0), 80)]
    {
        let answers = client.content(&plain, &copy[..]).unwrap();
        check_known(&answers);
        assert_eq!((&answers.checked[..], answers.incomplete.len()), (&[Kind::Md5, Kind::Pdq][..], 0));
        // Passed as a file, and as sealed memory, the same is answered.
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&copy).unwrap();
        assert_eq!(client.content_of(&plain, File::open(file.path()).unwrap()).unwrap(), answers);
        let mut memory = File::from(rustix::fs::memfd_create("picture", MemfdFlags::ALLOW_SEALING).unwrap());
        memory.write_all(&copy).unwrap();
        assert_eq!(failure(client.content_of(&plain, &memory)), ErrorCode::Refused, "not sealed");
        rustix::fs::fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW).unwrap();
        assert_eq!(client.content_of(&plain, &memory).unwrap(), answers);
    }
    let mirrored = png(&mirrored(&photo(1)));
    assert_eq!(only(&client.content(&plain, &mirrored[..]).unwrap()).0, Verdict::Unknown);
    let dihedral = ContentOptions { dihedral: true, radii: Radii::none() };
    check_known(&client.content(&dihedral, &mirrored[..]).unwrap());
    assert_eq!(only(&client.content(&plain, &png(&photo(2))[..]).unwrap()).0, Verdict::Unknown);
    daemon.check_answers();
}

#[test]
fn what_cannot_be_hashed_is_undecided_and_never_hides_an_exact_match() {
    let daemon = daemon("[pictures]\npixels = 4000000\n");
    let mut client = daemon.client();
    let mut ask = |content: &[u8]| client.content(&ContentOptions::default(), content).unwrap();
    let flat = png(&image::RgbImage::from_pixel(300, 200, image::Rgb([128, 128, 128])));
    check_undecided(&ask(&flat), Reason::LowQuality);
    let whole = png(&photo(3));
    let cut = &whole[..whole.len() / 2];
    check_undecided(&ask(cut), Reason::NotDecoded);
    check_undecided(&ask(&png(&image::RgbImage::new(3_000, 2_000))), Reason::TooLarge);

    daemon.add("seized", [hash_bytes(Kind::Md5, cut)]);
    let answers = ask(cut);
    assert_eq!(only(&answers).0, Verdict::Known);
    assert_eq!(
        (&answers.incomplete[..], answers.miss),
        (&[(Kind::Pdq, Reason::NotDecoded)][..], Verdict::Undecided(Reason::NotDecoded))
    );

    // What is no picture is asked about by exact kinds only; the empty file is known to be harmless.
    for (content, expected) in [(&b"text"[..], Verdict::Unknown), (b"", Verdict::Ignorable)] {
        let answers = ask(content);
        assert_eq!((only(&answers).0, answers.incomplete.len()), (expected, 0));
        assert_eq!(answers.checked, [Kind::Md5]);
    }
}

#[test]
fn long_content_comes_in_parts_within_its_limits() {
    let daemon = daemon("[limits]\ncontent_bytes = 3000000\ncontent_memory_bytes = 2500000\n");
    let mut client = daemon.client();
    let plain = ContentOptions::default();
    let large = png(&resized(&photo(1), 4.0));
    assert!((1_000_000..2_500_000).contains(&large.len()), "{} bytes", large.len());
    check_known(&client.content(&plain, &large[..]).unwrap());

    // No memory for so large a picture; one that is none needs none.
    let padded = [&large[..], &vec![0; 2_600_000 - large.len()]].concat();
    assert!(matches!(client.content(&plain, &padded[..]), Err(ClientError::Busy(_))));
    let zeros = vec![b'x'; 2_900_000];
    assert_eq!(only(&client.content(&plain, &zeros[..]).unwrap()).0, Verdict::Unknown);
    assert_eq!(failure(client.content(&plain, std::io::repeat(7).take(3_000_001))), ErrorCode::TooLarge);
    check_known(&client.content(&plain, &large[..]).unwrap());
    daemon.check_answers();
}

/// A CONTENT frame.
fn part(id: u32, more: bool, radii: &Radii, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let options = ContentOptions { dihedral: false, radii: radii.clone() };
    encode_content(&mut out, RequestId(id), &ContentFrame { options, more, descriptor: false, bytes });
    out
}

/// Expects the next frame to be of this op and answer this request.
fn expect(raw: &mut Raw, op: Op, id: u32) -> Vec<u8> {
    let (found, of, payload) = raw.frame().expect("the connection goes on");
    assert_eq!((found, of), (op, RequestId(id)));
    payload
}

#[test]
fn an_answer_is_about_all_of_a_file_or_there_is_none() {
    let daemon = daemon("");
    daemon.add("seized", vec![hash_bytes(Kind::Md5, b"some text")]);
    let mut raw = daemon.greeted();
    let none = Radii::none();
    // Another request may come between the parts.
    raw.write(&part(5, true, &none, b"some "));
    raw.write(&daemon_support::frame(Op::Status, 6, &[]));
    expect(&mut raw, Op::Json, 6);
    raw.write(&part(5, false, &none, b"text"));
    let answers = decode_answers(&expect(&mut raw, Op::Answers, 5)).unwrap();
    assert_eq!(only(&answers).0, Verdict::Known);

    // What is refused at its first part, or in between, is refused as a whole: no later part begins anew.
    let wide = "pdq=63".parse::<KindRadius>().unwrap();
    raw.write(&part(7, true, &[wide].into_iter().collect(), b"refused "));
    expect(&mut raw, Op::Error, 7);
    raw.write(&part(7, true, &none, b"some "));
    raw.write(&part(7, false, &none, b"text"));
    raw.write(&part(8, true, &none, b"some "));
    raw.write(&daemon_support::frame(Op::Content, 8, &[0xFF, 0]));
    expect(&mut raw, Op::Error, 8);
    raw.write(&part(8, false, &none, b"text"));
    // An id is free again after the last part.
    raw.write(&part(8, false, &none, b"some text"));
    let answers = decode_answers(&expect(&mut raw, Op::Answers, 8)).unwrap();
    assert_eq!(only(&answers).0, Verdict::Known);

    // Other content before the end of the one before is no mistake to guess around.
    raw.write(&part(9, true, &none, b"some "));
    raw.write(&part(10, false, &none, b"text"));
    raw.expect_farewell(ErrorCode::Malformed);
    let mut raw = daemon.greeted();
    raw.write(&part(11, true, &none, b"the stream ends before the content"));
    raw.0.shutdown(std::net::Shutdown::Write).unwrap();
    raw.expect_farewell(ErrorCode::Malformed);
    daemon.check_answers();
}

#[test]
fn a_part_that_finds_no_memory_ends_the_connection() {
    let daemon = daemon("[limits]\nframe_bytes = 1000000\nlarge_frame_bytes = 1000000\n");
    // Another connection holds the memory for large frames.
    let mut other = daemon.greeted();
    let large = part(3, false, &Radii::none(), &[7; 900_000]);
    other.write(&large[..800_000]);
    let mut raw = daemon.greeted();
    raw.write(&part(4, true, &Radii::none(), b"some "));
    let mut lookup = Vec::new();
    encode_lookup(&mut lookup, RequestId(5), &[Kind::Md5], &Radii::none(), known(0).value());
    raw.write(&lookup);
    expect(&mut raw, Op::Answers, 5);
    raw.write(&part(4, true, &Radii::none(), &[7; 500_000]));
    raw.write(&part(4, false, &Radii::none(), b"text"));
    raw.expect_farewell(ErrorCode::TooLarge);
    other.write(&large[800_000..]);
    expect(&mut other, Op::Answers, 3);
}

#[test]
fn a_descriptor_belongs_to_its_frame_alone() {
    let daemon = daemon("");
    let file = |content: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        File::open(file.path()).unwrap()
    };
    let (copy, other) = (png(&resized(&photo(1), 0.5)), png(&photo(2)));
    let mut client = daemon.client();
    let wide = ContentOptions { dihedral: false, radii: radii("pdq=63") };
    // The file of a refused question is not that of the next.
    assert_eq!(failure(client.content_of(&wide, file(&other))), ErrorCode::TooLarge);
    check_known(&client.content_of(&ContentOptions::default(), file(&copy)).unwrap());
    assert_eq!(failure(client.content_of(&wide, file(&copy))), ErrorCode::TooLarge);
    let answers = client.content_of(&ContentOptions::default(), file(&other)).unwrap();
    assert_eq!(only(&answers).0, Verdict::Unknown);

    let mut raw = daemon.greeted();
    let mut missing = Vec::new();
    let frame = ContentFrame { options: ContentOptions::default(), more: false, descriptor: true, bytes: &[] };
    encode_content(&mut missing, RequestId(8), &frame);
    raw.write(&missing);
    expect(&mut raw, Op::Error, 8);
    // One that no frame speaks of.
    send_with_descriptors(&raw, &daemon_support::frame(Op::Status, 9, &[]), &file(b"text"), 1);
    expect(&mut raw, Op::Json, 9);
    raw.expect_farewell(ErrorCode::Malformed);
}

#[test]
fn a_question_about_content_sees_one_state_of_the_lists() {
    let daemon = daemon("");
    let mut raw = daemon.greeted();
    raw.write(&part(2, true, &Radii::none(), b"some "));
    raw.write(&daemon_support::frame(Op::Status, 3, &[]));
    let status: serde_json::Value = serde_json::from_slice(&expect(&mut raw, Op::Json, 3)).unwrap();
    // A list of a kind that nobody held when the question began, and that so was not computed.
    daemon.add("new", vec![hash_bytes(Kind::Sha256, b"some text")]);
    raw.write(&part(2, false, &Radii::none(), b"text"));
    let answers = decode_answers(&expect(&mut raw, Op::Answers, 2)).unwrap();
    assert_eq!(
        (answers.checked.as_slice(), status["generation"].as_u64()),
        (&[Kind::Md5][..], Some(answers.generation))
    );
    let answers = daemon.client().content(&ContentOptions::default(), &b"some text"[..]).unwrap();
    assert_eq!(only(&answers).0, Verdict::Known);
}

#[test]
fn content_and_details_are_for_those_who_may() {
    let socket = "[[listen]]\naddress = 'unix:data/hashward.sock'\n";
    let listen =
        |port: u16, rights: &str| format!("[[listen]]\naddress = 'tcp:127.0.0.1:{port}'\nrights = [{rights}]\n");
    // Free a moment ago.
    let ports = [0, 0].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let few = listen(ports[0], "'lookup'");
    let more = listen(ports[1], "'lookup', 'content', 'detail'");
    let public = "[[principal]]\nname = 'public'\nanyone = true\nrights = ['lookup', 'content', 'detail']\n";
    let _daemon = daemon(&format!("{socket}{few}{more}{public}"));
    let client = |port| Client::connect(&Address::Tcp(([127, 0, 0, 1], port).into())).unwrap();
    let copy = pdq(&resized(&photo(1), 0.5));
    let plain = ContentOptions::default();

    let mut limited = client(ports[0]);
    let answers = limited.lookup(&[Kind::Pdq], &Radii::none(), copy.value()).unwrap();
    let (verdict, answer) = only(&answers);
    let answer = answer.unwrap();
    assert_eq!((verdict, answer.matches[0].distance, answer.nearest.len()), (Verdict::Known, None, 0));
    // Nor can they see which rows lie as far from a code as others, by which rows share an answer.
    let original = pdq(&photo(1));
    let rows = [pdq(&photo(2)).value(), original.value(), copy.value(), original.value()].concat();
    let answers = limited.lookup(&[Kind::Pdq], &Radii::none(), &rows).unwrap();
    assert_eq!((answers.distinct.len(), &answers.hits[..]), (1, &[(1, 0), (2, 0), (3, 0)][..]));
    assert_eq!(failure(limited.content(&plain, &b"text"[..])), ErrorCode::Forbidden);
    // A radius of one's own would tell distances.
    assert_eq!(failure(limited.lookup(&[Kind::Pdq], &radii("pdq=20"), copy.value())), ErrorCode::Forbidden);

    let mut trusted = client(ports[1]);
    check_known(&trusted.lookup(&[Kind::Pdq], &Radii::none(), copy.value()).unwrap());
    assert_eq!(trusted.lookup(&[Kind::Pdq], &Radii::none(), &rows).unwrap().distinct.len(), 2);
    check_known(&trusted.content(&plain, &jpeg(&photo(1), 70)[..]).unwrap());
    assert!(trusted.content_of(&plain, File::open("/dev/null").unwrap()).is_err(), "TCP passes no descriptor");
}

/// Sends bytes, and the file's descriptor so many times with the first of them.
fn send_with_descriptors(raw: &Raw, bytes: &[u8], file: &File, count: usize) {
    let descriptors = vec![std::os::fd::AsFd::as_fd(file); count];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = rustix::net::SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(rustix::net::SendAncillaryMessage::ScmRights(&descriptors)));
    let bytes = [std::io::IoSlice::new(bytes)];
    rustix::net::sendmsg(&raw.0, &bytes, &mut ancillary, rustix::net::SendFlags::empty()).unwrap();
}

#[test]
fn who_passes_descriptors_without_end_is_cut_off() {
    let daemon = daemon("");
    let raw = daemon.greeted();
    let file = File::open(daemon.socket().parent().unwrap().join("manifest")).unwrap();
    send_with_descriptors(&raw, &[0], &file, 8);
    let mut rest = Vec::new();
    let mut stream = &raw.0;
    assert!(stream.read_to_end(&mut rest).is_err() || rest.is_empty(), "cut off without an answer");
    daemon.check_answers();
}
