//! How many streams may be open at a time: all of them, and those of one actor where it is known whose they are.

use crate::reason::{Reason, status, with_figures};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tonic::Status;

/// Whose each open stream is, where that is known.
type Open = Arc<Mutex<Vec<Option<String>>>>;

/// Lets streams in as long as there is a place.
#[derive(Clone)]
pub struct Admission {
    /// What they do, in words that follow their number: `append`.
    doing: &'static str,
    max: usize,
    each_max: usize,
    open: Open,
}

/// An open stream's place; whoever drops it gives it back.
#[derive(Debug)]
pub struct Place {
    of: Option<String>,
    open: Open,
}

impl Admission {
    /// So many may be open, whoever they belong to.
    pub fn new(doing: &'static str, max: usize) -> Self {
        Self { doing, max, each_max: max, open: Open::default() }
    }

    /// The same, so many of them one actor's.
    pub fn each(self, each_max: usize) -> Self {
        Self { each_max, ..self }
    }

    /// A place for a stream, of an actor if that is known.
    ///
    /// # Errors
    /// If the actor, or all together, have as many open as they may.
    pub fn admit(&self, actor: Option<&str>) -> Result<Place, Status> {
        let Self { doing, max, each_max, .. } = self;
        let mut open = lock(&self.open);
        if let Some(actor) = actor
            && open.iter().flatten().filter(|of| *of == actor).count() >= *each_max
        {
            let message = format!("{each_max} streams of {actor} {doing} already; end one of them first");
            return Err(with_figures(Reason::TooManyStreams, message, [("actor", actor.to_owned())]));
        }
        if open.len() >= *max {
            return Err(status(Reason::TooManyStreams, format!("{max} streams {doing} already; try again later")));
        }
        let of = actor.map(str::to_owned);
        open.push(of.clone());
        Ok(Place { of, open: self.open.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(at) = open.iter().position(|of| *of == self.of) {
            open.swap_remove(at);
        }
    }
}

fn lock(open: &Open) -> MutexGuard<'_, Vec<Option<String>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn nobody_holds_all_places_and_whoever_leaves_makes_room() {
        let admission = Admission::new("are read", 3).each(2);
        let ritas = [(); 2].map(|()| admission.admit(Some("rita")).unwrap());
        let refused = admission.admit(Some("rita")).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(refused.message(), "2 streams of rita are read already; end one of them first");

        let pauls = admission.admit(Some("paul")).unwrap();
        let refused = admission.admit(Some("paul")).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(refused.message(), "3 streams are read already; try again later");

        drop(pauls);
        assert!(admission.admit(Some("rita")).is_err(), "the place that is free is another's");
        let pauls = admission.admit(Some("paul")).unwrap();
        drop(ritas);
        let ritas = admission.admit(Some("rita")).unwrap();
        drop((pauls, ritas));
    }

    #[test]
    fn where_nobody_knows_whose_they_are_all_share_one_limit() {
        let admission = Admission::new("append", 2);
        let places = [(); 2].map(|()| admission.admit(None).unwrap());
        assert_eq!(admission.admit(None).unwrap_err().message(), "2 streams append already; try again later");
        drop(places);
        admission.admit(None).unwrap();
    }
}
