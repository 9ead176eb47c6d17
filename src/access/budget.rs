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
#[error("over budget: expected at most {limit} {what}; ask again in {retry_after_ms} ms")]
pub struct OverBudget {
    /// What there was too much of.
    pub what: Bound,
    /// The bound.
    pub limit: u64,
    /// When there will be room again, in milliseconds from now.
    pub retry_after_ms: u64,
}

/// What a principal has asked so far.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    /// When the questions asked so far will have been worked off at the rate of the budget, in microseconds.
    questions_until_us: u64,
    day: u64,
    near: u64,
    content: u64,
    /// Refusals for want of each of [`Bound::ALL`].
    refusals: [u64; Bound::ALL.len()],
}

impl Meter {
    /// Takes `cost` at the time `now_ms`, in milliseconds since 1970-01-01 UTC. A request larger than a second's worth of
    /// questions is taken if the second before was quiet, and what follows waits until it is worked off.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub fn take(&self, budget: &Budget, cost: Cost, now_ms: u64) -> Result<(), OverBudget> {
        let mut used = self.at(now_ms);
        used.take(budget, cost, now_ms).inspect_err(|over| used.refusals[over.what as usize] += 1)
    }

    /// What was used of each bound that `budget` sets, at the time `now_ms`.
    pub fn spent(&self, budget: &Budget, now_ms: u64) -> Vec<Spent> {
        let used = self.at(now_ms);
        let of = |(bound, limit): (Bound, Option<u64>)| {
            let today = match bound {
                Bound::QuestionsPerS => None,
                Bound::NearPerDay => Some(used.near),
                Bound::ContentPerDay => Some(used.content),
            };
            Some(Spent { bound, limit: limit?, today, refusals: used.refusals[bound as usize] })
        };
        let limits = [budget.questions_per_s, budget.near_per_day, budget.content_per_day];
        Bound::ALL.into_iter().zip(limits).filter_map(of).collect()
    }

    /// What was used on the day of `now_ms`.
    fn at(&self, now_ms: u64) -> MutexGuard<'_, Used> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let day = now_ms / DAY_MS;
        // A clock that is set back gives nobody a second day.
        if day > used.day {
            (used.day, used.near, used.content) = (day, 0, 0);
        }
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
    fn take(&mut self, budget: &Budget, cost: Cost, now_ms: u64) -> Result<(), OverBudget> {
        let used = self;
        let next_day_ms = (used.day + 1) * DAY_MS - now_ms.min((used.day + 1) * DAY_MS);
        let daily = |what, limit: Option<u64>, used: u64, more: u64| match limit {
            Some(limit) if more > 0 && used.saturating_add(more) > limit => {
                Err(OverBudget { what, limit, retry_after_ms: next_day_ms })
            }
            _ => Ok(()),
        };
        daily(Bound::NearPerDay, budget.near_per_day, used.near, cost.near)?;
        daily(Bound::ContentPerDay, budget.content_per_day, used.content, cost.content)?;
        if let Some(limit) = budget.questions_per_s.filter(|_| cost.questions > 0) {
            let now_us = now_ms.saturating_mul(1_000);
            if used.questions_until_us > now_us {
                let retry_after_ms = (used.questions_until_us - now_us).div_ceil(1_000);
                return Err(OverBudget { what: Bound::QuestionsPerS, limit, retry_after_ms });
            }
            // An idle second may be caught up on.
            let from = used.questions_until_us.max(now_us.saturating_sub(1_000_000));
            let cost_us = cost.questions.saturating_mul(1_000_000).div_ceil(limit.max(1));
            used.questions_until_us = from.saturating_add(cost_us);
        }
        used.near = used.near.saturating_add(cost.near);
        used.content = used.content.saturating_add(cost.content);
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
                match meter.take(&budget, questions(cost), now) {
                    Ok(()) => {
                        taken += cost;
                        largest = largest.max(cost);
                    }
                    Err(over) => {
                        // What it says is true: a millisecond earlier there is no room, and then there is.
                        let at = now + over.retry_after_ms;
                        prop_assert!(meter.take(&budget, questions(cost), at - 1).is_err());
                        prop_assert!(meter.take(&budget, questions(cost), at).is_ok());
                        (taken, now, largest) = (taken + cost, at, largest.max(cost));
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

    #[test]
    fn daily_budgets_end_with_the_day_and_not_before() {
        let budget = Budget { near_per_day: Some(10), content_per_day: Some(2), ..Budget::default() };
        let meter = Meter::default();
        let near = |near| Cost { near, questions: near, ..Cost::default() };
        let content = Cost { content: 1, ..Cost::default() };
        assert_eq!(meter.take(&budget, near(10), START_MS), Ok(()));
        let over = meter.take(&budget, near(1), START_MS).unwrap_err();
        assert_eq!((over.limit, over.retry_after_ms), (10, DAY_MS - 5_000));
        assert!(over.to_string().contains("questions by distance a day"));
        // What was refused took nothing, and what is not bounded goes on.
        assert_eq!(meter.take(&budget, content, START_MS), Ok(()));
        assert_eq!(meter.take(&budget, content, START_MS), Ok(()));
        assert!(meter.take(&budget, content, START_MS + DAY_MS - 5_001).is_err());
        assert_eq!(meter.take(&budget, questions(1_000_000), START_MS), Ok(()));
        assert_eq!(meter.take(&budget, near(10), START_MS + over.retry_after_ms), Ok(()));
        assert!(meter.take(&budget, near(1), START_MS).is_err(), "a clock that was set back");
        // A scraper is told what that comes to, and another day begins for it, too.
        let spent = |bound, limit, today, refusals| Spent { bound, limit, today: Some(today), refusals };
        let expected =
            |near, content| [spent(Bound::NearPerDay, 10, near, 2), spent(Bound::ContentPerDay, 2, content, 1)];
        assert_eq!(meter.spent(&budget, START_MS), expected(10, 0));
        assert_eq!(meter.spent(&budget, START_MS + 2 * DAY_MS), expected(0, 0));
    }
}
