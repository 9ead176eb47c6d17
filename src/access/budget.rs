//! Budgets: how much a principal may ask, so that one that asks too much costs the others nothing, and so that nobody
//! can use the service to tune a picture until it passes.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How much a principal may ask; what is not named is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Questions a second, of any kind: rows times kinds, and one for a file. A second's worth may be asked at once.
    pub questions_per_s: Option<u64>,
    /// Values of perceptual kinds a day (UTC).
    pub near_per_day: Option<u64>,
    /// Files by content a day (UTC).
    pub content_per_day: Option<u64>,
}

/// What one request costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rows times kinds; one for a file.
    pub questions: u64,
    /// Those of perceptual kinds.
    pub near: u64,
    /// Files by content.
    pub content: u64,
}

/// One of the bounds of a [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// [`Budget::questions_per_s`].
    QuestionsPerS,
    /// [`Budget::near_per_day`].
    NearPerDay,
    /// [`Budget::content_per_day`].
    ContentPerDay,
}

impl Bound {
    /// All bounds.
    pub const ALL: [Bound; 3] = [Bound::QuestionsPerS, Bound::NearPerDay, Bound::ContentPerDay];

    /// Its name in the config and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Bound::QuestionsPerS => "questions_per_s",
            Bound::NearPerDay => "near_per_day",
            Bound::ContentPerDay => "content_per_day",
        }
    }
}

/// What it bounds, in words.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Bound::QuestionsPerS => "questions a second",
            Bound::NearPerDay => "questions by distance a day",
            Bound::ContentPerDay => "files by content a day",
        })
    }
}

/// A request that is more than the budget has left. Nothing was taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("over budget: expected at most {limit} {what}; {}", remedy(*retry_after_ms))]
pub struct OverBudget {
    /// What there was too much of.
    pub what: Bound,
    /// The bound.
    pub limit: u64,
    /// When there will be room, in milliseconds from now; `None` if there never is for so much at once.
    pub retry_after_ms: Option<u64>,
}

fn remedy(retry_after_ms: Option<u64>) -> String {
    match retry_after_ms {
        Some(after) => format!("ask again in {after} ms"),
        None => "this alone is more, and would be at any time".to_owned(),
    }
}

/// What two clocks say now.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Milliseconds since 1970-01-01 UTC: which day it is. Somebody may set this clock.
    pub utc_ms: u64,
    /// Milliseconds since any moment, by a clock that nobody sets.
    pub steady_ms: u64,
}

/// What was used of daily budgets on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedDay {
    /// Days since 1970-01-01 UTC.
    day: u64,
    /// Values of perceptual kinds.
    near: u64,
    /// Files by content.
    content: u64,
}

impl UsedDay {
    /// Nothing is left on the day of `utc_ms`, whatever the budget.
    pub fn all(utc_ms: u64) -> UsedDay {
        // As much as a config can grant: numbers in TOML have 63 bits.
        const ALL: u64 = i64::MAX as u64;
        UsedDay { day: utc_ms / DAY_MS, near: ALL, content: ALL }
    }

    /// Whether nothing was used.
    pub fn is_nothing(&self) -> bool {
        (self.near, self.content) == (0, 0)
    }
}

/// What a principal has asked so far.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    /// When the questions asked so far will have been worked off at the rate of the budget, in microseconds by the steady
    /// clock.
    questions_until_us: u64,
    today: UsedDay,
    /// Refusals for want of each of [`Bound::ALL`].
    refusals: [u64; Bound::ALL.len()],
}

impl Meter {
    /// Takes `cost`. A request larger than a second's worth of questions is taken if the second before was quiet, and what
    /// follows waits until it is worked off.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub fn take(&self, budget: &Budget, cost: Cost, now: Clocks) -> Result<(), OverBudget> {
        let mut used = self.at(now.utc_ms);
        used.take(budget, cost, now).inspect_err(|over| used.refusals[over.what as usize] += 1)
    }

    /// What was used of each bound that `budget` sets, at the time `utc_ms`, in milliseconds since 1970-01-01 UTC.
    pub fn spent(&self, budget: &Budget, utc_ms: u64) -> Vec<Spent> {
        let used = self.at(utc_ms);
        let of = |(bound, limit): (Bound, Option<u64>)| {
            let today = match bound {
                Bound::QuestionsPerS => None,
                Bound::NearPerDay => Some(used.today.near),
                Bound::ContentPerDay => Some(used.today.content),
            };
            Some(Spent { bound, limit: limit?, today, refusals: used.refusals[bound as usize] })
        };
        let limits = [budget.questions_per_s, budget.near_per_day, budget.content_per_day];
        Bound::ALL.into_iter().zip(limits).filter_map(of).collect()
    }

    /// What was used on the day of `utc_ms`.
    pub fn used(&self, utc_ms: u64) -> UsedDay {
        self.at(utc_ms).today
    }

    /// Goes on from what was used before.
    pub fn resume(&self, used: UsedDay) {
        self.lock().today = used;
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, utc_ms: u64) -> MutexGuard<'_, Used> {
        let mut used = self.lock();
        let day = utc_ms / DAY_MS;
        if day > used.today.day {
            used.today = UsedDay { day, ..UsedDay::default() };
        } else if day + 1 < used.today.day {
            // The clock had been ahead for days. What was used then counts as used today, and not until that day comes.
            used.today.day = day;
        }
        // A clock that is set back by less gives nobody a second day.
        used
    }
}

/// What was used of a [`Bound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Which.
    pub bound: Bound,
    /// How much it allows.
    pub limit: u64,
    /// Of a daily one: what was used today.
    pub today: Option<u64>,
    /// How often somebody was refused for want of it.
    pub refusals: u64,
}

impl Used {
    fn take(&mut self, budget: &Budget, cost: Cost, now: Clocks) -> Result<(), OverBudget> {
        let UsedDay { day, near, content } = self.today;
        let next_day_ms = ((day + 1) * DAY_MS).saturating_sub(now.utc_ms);
        let daily = |what, limit: Option<u64>, used: u64, more: u64| match limit {
            Some(limit) if more > limit => Err(OverBudget { what, limit, retry_after_ms: None }),
            Some(limit) if more > 0 && used.saturating_add(more) > limit => {
                Err(OverBudget { what, limit, retry_after_ms: Some(next_day_ms) })
            }
            _ => Ok(()),
        };
        daily(Bound::NearPerDay, budget.near_per_day, near, cost.near)?;
        daily(Bound::ContentPerDay, budget.content_per_day, content, cost.content)?;
        if let Some(limit) = budget.questions_per_s.filter(|_| cost.questions > 0) {
            // The steady clock may have begun with the daemon, before which everybody was idle.
            let now_us = now.steady_ms.saturating_add(1_000).saturating_mul(1_000);
            let over = |retry_after_ms| Err(OverBudget { what: Bound::QuestionsPerS, limit, retry_after_ms });
            if limit == 0 {
                return over(None);
            }
            if self.questions_until_us > now_us {
                return over(Some((self.questions_until_us - now_us).div_ceil(1_000)));
            }
            // An idle second may be caught up on.
            let from = self.questions_until_us.max(now_us.saturating_sub(1_000_000));
            let cost_us = cost.questions.saturating_mul(1_000_000).div_ceil(limit);
            self.questions_until_us = from.saturating_add(cost_us);
        }
        let (near, content) = (near.saturating_add(cost.near), content.saturating_add(cost.content));
        self.today = UsedDay { day, near, content };
        Ok(())
    }
}

/// How often somebody was refused since it was last told.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<(u64, u64)>);

/// What is to become of a refusal that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It is told now, together with those before: so many.
    Told(u64),
    /// It is held back, the first since the last were told: [`Refusals::rest`] is due after [`Refusals::PAUSE`].
    First,
    /// It is held back with others.
    Held,
}

impl Refusals {
    /// They are told at most so often.
    pub const PAUSE: Duration = Duration::from_secs(1);

    /// Counts one more at the time `now_ms`.
    pub fn count(&self, now_ms: u64) -> Counted {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (told_ms, times) = &mut *state;
        *times += 1;
        if *told_ms > 0 && u128::from(now_ms.saturating_sub(*told_ms)) < Refusals::PAUSE.as_millis() {
            return if *times == 1 { Counted::First } else { Counted::Held };
        }
        *told_ms = now_ms;
        Counted::Told(std::mem::take(times))
    }

    /// How many are held back, which are told now, at the time `now_ms`; `None` if they have been told meanwhile.
    pub fn rest(&self, now_ms: u64) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (told_ms, times) = &mut *state;
        if *times > 0 {
            *told_ms = now_ms;
        }
        Some(std::mem::take(times)).filter(|times| *times > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START_MS: u64 = 20_000 * DAY_MS + 5_000;

    /// Both clocks go alike.
    fn at(ms: u64) -> Clocks {
        Clocks { utc_ms: ms, steady_ms: ms }
    }

    fn questions(questions: u64) -> Cost {
        Cost { questions, ..Cost::default() }
    }

    proptest! {
        #[test]
        fn the_rate_holds_in_the_long_run(
            limit in 1u64..5_000,
            asked in proptest::collection::vec((0u64..3_000, 1u64..400), 1..200),
        ) {
            let budget = Budget { questions_per_s: Some(limit), ..Budget::default() };
            let meter = Meter::default();
            let (mut now, mut taken, mut largest) = (START_MS, 0, 0);
            for (pause, cost) in asked {
                now += pause;
                match meter.take(&budget, questions(cost), at(now)) {
                    Ok(()) => {
                        taken += cost;
                        largest = largest.max(cost);
                    }
                    Err(over) => {
                        // What it says is true: a millisecond earlier there is no room, and then there is.
                        let then = now + over.retry_after_ms.unwrap();
                        prop_assert!(meter.take(&budget, questions(cost), at(then - 1)).is_err());
                        prop_assert!(meter.take(&budget, questions(cost), at(then)).is_ok());
                        (taken, now, largest) = (taken + cost, then, largest.max(cost));
                    }
                }
                let elapsed_s = (now - START_MS) as f64 / 1_000.0;
                prop_assert!(taken as f64 <= limit as f64 * (elapsed_s + 1.0) + largest as f64 + 1.0);
            }
        }
    }

    #[test]
    fn refusals_are_told_once_a_second_and_none_is_lost() {
        let refusals = Refusals::default();
        let told: Vec<_> = [0, 10, 999, 1_000, 1_001, 5_000].map(|at| refusals.count(START_MS + at)).into();
        assert_eq!(
            told,
            [Counted::Told(1), Counted::First, Counted::Held, Counted::Told(3), Counted::First, Counted::Told(2)]
        );
        assert_eq!(refusals.rest(START_MS + 5_000), None);
        assert_eq!([5_001, 5_002].map(|at| refusals.count(START_MS + at)), [Counted::First, Counted::Held]);
        assert_eq!(refusals.rest(START_MS + 6_001), Some(2));
        assert_eq!(refusals.count(START_MS + 6_002), Counted::First);
    }

    fn near(near: u64) -> Cost {
        Cost { near, questions: near, ..Cost::default() }
    }

    const CONTENT: Cost = Cost { content: 1, questions: 1, near: 0 };

    #[test]
    fn daily_budgets_end_with_the_day_and_not_before() {
        let budget = Budget { near_per_day: Some(10), content_per_day: Some(2), ..Budget::default() };
        let meter = Meter::default();
        let take = |cost, ms| meter.take(&budget, cost, at(ms));
        assert_eq!(take(near(10), START_MS), Ok(()));
        let over = take(near(1), START_MS).unwrap_err();
        assert_eq!((over.limit, over.retry_after_ms), (10, Some(DAY_MS - 5_000)));
        assert!(over.to_string().contains("questions by distance a day; ask again in"), "{over}");
        // What was refused took nothing, and what is not bounded goes on.
        assert_eq!(take(CONTENT, START_MS), Ok(()));
        assert_eq!(take(CONTENT, START_MS), Ok(()));
        assert!(take(CONTENT, START_MS + DAY_MS - 5_001).is_err());
        assert_eq!(take(questions(1_000_000), START_MS), Ok(()));
        assert_eq!(take(near(10), START_MS + DAY_MS - 5_000), Ok(()));
        assert!(take(near(1), START_MS).is_err(), "a clock that was set back");
        // A scraper is told what that comes to, and another day begins for it, too.
        let spent = |bound, limit, today, refusals| Spent { bound, limit, today: Some(today), refusals };
        let expected =
            |near, content| [spent(Bound::NearPerDay, 10, near, 2), spent(Bound::ContentPerDay, 2, content, 1)];
        assert_eq!(meter.spent(&budget, START_MS), expected(10, 0));
        assert_eq!(meter.spent(&budget, START_MS + 2 * DAY_MS), expected(0, 0));
    }

    #[test]
    fn what_never_has_room_is_not_told_to_come_again() {
        let day = Budget { near_per_day: Some(10), content_per_day: Some(0), ..Budget::default() };
        let none = Budget { questions_per_s: Some(0), ..Budget::default() };
        for (budget, cost) in [(day, near(11)), (day, CONTENT), (none, questions(1))] {
            let over = Meter::default().take(&budget, cost, at(START_MS)).unwrap_err();
            assert_eq!(over.retry_after_ms, None);
            assert!(!over.to_string().contains("again"), "{over}");
        }
    }

    #[test]
    fn a_clock_that_is_set_takes_nobodys_budget_away() {
        let budget = Budget { questions_per_s: Some(1), near_per_day: Some(10), ..Budget::default() };
        let meter = Meter::default();
        let take = |utc_ms, steady_ms| meter.take(&budget, near(5), Clocks { utc_ms, steady_ms });
        // It stood a year ahead.
        assert_eq!(take(START_MS + 365 * DAY_MS, 10_000), Ok(()));
        assert_eq!(take(START_MS, 20_000), Ok(()));
        assert_eq!(take(START_MS, 30_000).unwrap_err().retry_after_ms, Some(DAY_MS - 5_000), "what was used counts");
        assert_eq!(take(START_MS + DAY_MS, 40_000), Ok(()));
    }

    #[test]
    fn what_was_used_before_counts() {
        let budget = Budget { near_per_day: Some(10), ..Budget::default() };
        let (before, after) = (Meter::default(), Meter::default());
        before.take(&budget, near(8), at(START_MS)).unwrap();
        after.resume(before.used(START_MS));
        assert!(after.take(&budget, near(3), at(START_MS + 1)).is_err());
        assert_eq!(after.take(&budget, near(2), at(START_MS + 1)), Ok(()));
        after.resume(UsedDay::all(START_MS));
        assert!(after.take(&budget, near(1), at(START_MS + 1)).is_err());
        assert!(after.used(START_MS + DAY_MS).is_nothing());
    }
}
