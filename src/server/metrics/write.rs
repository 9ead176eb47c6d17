//! The text that scrapers read: Prometheus' text format 0.0.4, which all of them know.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub(in crate::server) use prometheus_text::CONTENT_TYPE;

/// The labels of one series.
pub(super) type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// The labels of a metric that is one number.
pub(super) const NONE: Labels<'static> = Vec::new();

/// Label `name` with this value.
pub(super) fn label<'a>(name: &'static str, value: impl Into<Cow<'a, str>>) -> (&'static str, Cow<'a, str>) {
    (name, value.into())
}

/// A histogram's numbers.
pub(super) struct Histogram {
    /// Upper bounds, and how many lie between each and the one before; the last bound is infinite.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) sum: f64,
}

/// What metrics are written to. A metric stands there also when it has no series, so that it can be found.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A number that only grows. `name` goes without its `_total`.
    pub(super) fn counter<'a, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result {
        self.metric(name, help, MetricType::Counter, series, |encoder, value| {
            encoder.encode_counter::<NoLabelSet, V, u64>(&value, None)
        })
    }

    /// A number that comes and goes.
    pub(super) fn gauge<'a, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result {
        self.metric(name, help, MetricType::Gauge, series, |encoder, value| encoder.encode_gauge(&value))
    }

    /// How many numbers lie between which bounds.
    pub(super) fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'a>, Histogram)>,
    ) -> fmt::Result {
        self.metric(name, help, MetricType::Histogram, series, |encoder, Histogram { buckets, sum }| {
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        })
    }

    fn metric<'a, V>(
        &mut self,
        name: &str,
        help: &str,
        metric_type: MetricType,
        series: impl IntoIterator<Item = (Labels<'a>, V)>,
        mut write: impl FnMut(&mut MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, metric_type)?;
        for (labels, value) in series {
            write(&mut encoder.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}

/// The text of what `fill` writes to a page.
pub(super) fn text(fill: impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Fill(fill)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("text can always be written to");
    text
}

struct Fill<F>(F);

impl<F> fmt::Debug for Fill<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fill")
    }
}

impl<F: Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static> Collector for Fill<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Page(encoder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_scrapers_read() {
        let written = text(|page| {
            page.counter("x_rows", "Rows", [(vec![label("list", "a\"b\\c\nd")], 3u64)])?;
            page.gauge("x_now", "Now", [(NONE, 2u64)])?;
            page.gauge::<u64>("x_none", "Of nothing", [])?;
            let buckets = vec![(0.5, 1), (f64::INFINITY, 2)];
            page.histogram("x_seconds", "Time", [(NONE, Histogram { buckets, sum: 7.25 })])
        });
        let expected = "# HELP x_rows_total Rows\n# TYPE x_rows_total counter\nx_rows_total{list=\"a\\\"b\\\\c\\nd\"} 3\n\
            # HELP x_now Now\n# TYPE x_now gauge\nx_now 2\n\
            # HELP x_none Of nothing\n# TYPE x_none gauge\n\
            # HELP x_seconds Time\n# TYPE x_seconds histogram\n\
            x_seconds_bucket{le=\"0.5\"} 1\nx_seconds_bucket{le=\"+Inf\"} 3\nx_seconds_sum 7.25\nx_seconds_count 3\n";
        assert_eq!(written, expected);
    }
}
