use super::*;

const OF: u32 = 4;

/// What a group is told to say, and what it was asked for.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<(Option<Held>, Vec<&'static str>)>>);

impl Said {
    fn hold(&self, partitions: impl IntoIterator<Item = u32>) {
        self.0.lock().unwrap().0 = Some(Held { partitions: partitions.into_iter().collect(), of: OF });
    }

    fn asked(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Group for Said {
    fn hear(&mut self) -> Option<Held> {
        self.0.lock().unwrap().0.clone()
    }

    fn leave(&mut self) {
        self.0.lock().unwrap().1.push("leave");
    }

    fn join(&mut self) {
        self.0.lock().unwrap().1.push("join");
    }
}

/// A member and the seconds since it began.
struct Scene {
    said: Said,
    member: Member,
    began: Instant,
    now_s: u64,
}

impl Scene {
    /// Before any assignment.
    fn forming() -> Self {
        let (said, began) = (Said::default(), Instant::now());
        let member = Member::new(Box::new(said.clone()), Limits::default(), began);
        Self { said, member, began, now_s: 0 }
    }

    /// A member that has held partitions for a while.
    fn holding(partitions: impl IntoIterator<Item = u32>) -> Self {
        let mut scene = Self::forming();
        scene.said.hold(partitions);
        scene.member.hear(scene.began);
        scene.now_s = 10;
        scene
    }

    fn now(&self) -> Instant {
        self.began + Duration::from_secs(self.now_s)
    }

    /// Lets seconds pass, at each fifth of which the worker sees these batches open.
    fn see(&mut self, open: &[u64], seconds: u64) {
        let until = self.now_s + seconds;
        loop {
            let now = self.now();
            self.member.hear(now);
            self.member.look(open, now);
            if self.now_s >= until {
                return;
            }
            self.now_s += 5;
        }
    }

    fn taken(&self, batches: &[u64]) -> Vec<u64> {
        batches.iter().copied().filter(|batch| self.member.takes(*batch, self.now())).collect()
    }
}

/// The first so many batches of a partition.
fn of(partition: u32, count: usize) -> Vec<u64> {
    (0..).filter(|batch| partition_of(*batch, OF) == partition).take(count).collect()
}

#[test]
fn batches_made_in_a_row_spread_over_the_partitions() {
    let mut counts = vec![0; 64];
    (0..6_400).for_each(|batch| counts[partition_of(batch, 64) as usize] += 1);
    assert!(counts.iter().all(|count| (60..=150).contains(count)), "{counts:?}");
}

#[test]
fn a_member_takes_the_batches_of_its_partitions_once_they_have_settled() {
    let mut scene = Scene::forming();
    scene.said.hold([0, 1]);
    assert!(scene.member.hear(scene.now()), "that is news");
    let batches: Vec<u64> = (0..40).collect();
    assert_eq!(scene.taken(&batches), [0; 0]);
    assert!(scene.member.is_restless(scene.now()));
    scene.now_s = 1;
    let mine: Vec<u64> = batches.iter().copied().filter(|batch| partition_of(*batch, OF) < 2).collect();
    assert_eq!(scene.taken(&batches), mine);
    assert!(!scene.member.is_restless(scene.now()));
    // One that comes later settles by itself, the others go on.
    scene.said.hold([1, 2]);
    scene.member.hear(scene.now());
    let kept: Vec<u64> = batches.iter().copied().filter(|batch| partition_of(*batch, OF) == 1).collect();
    assert_eq!(scene.taken(&batches), kept);
}

#[test]
fn without_an_assignment_it_waits_and_then_works_on_everything() {
    let mut scene = Scene::forming();
    let batches: Vec<u64> = (0..40).collect();
    scene.see(&batches, 15);
    assert_eq!(scene.taken(&batches), [0; 0]);
    scene.see(&batches, 5);
    assert_eq!(scene.taken(&batches), batches);
    // An assignment ends that, and one that is lost begins the wait anew.
    scene.said.hold([3]);
    scene.see(&batches, 5);
    assert!(scene.taken(&batches).len() < batches.len());
    scene.said.0.lock().unwrap().0 = None;
    scene.see(&batches, 15);
    assert_eq!(scene.taken(&batches), [0; 0]);
    scene.see(&batches, 5);
    assert_eq!(scene.taken(&batches), batches);
}

#[test]
fn the_oldest_of_a_partition_is_anybodys_once_it_has_waited_too_long() {
    let mut scene = Scene::holding([0]);
    let theirs = of(2, 9);
    // Its holder finishes the others one by one, but never the first.
    for left in (2..=8).rev() {
        scene.see(&[&theirs[..1], &theirs[9 - left..]].concat(), 15);
    }
    assert_eq!(scene.taken(&theirs), [0; 0]);
    scene.see(&[&theirs[..1], &theirs[8..]].concat(), 30);
    assert_eq!(scene.taken(&theirs), theirs[..1]);
}

#[test]
fn a_partition_in_which_nobody_finishes_anything_is_anybodys_until_somebody_does() {
    let mut scene = Scene::holding([0]);
    let theirs = of(2, 5);
    scene.see(&theirs, 115);
    assert_eq!(scene.taken(&theirs), [0; 0]);
    scene.see(&theirs, 5);
    assert_eq!(scene.taken(&theirs), theirs);
    // What this worker finishes there says nothing of the holder.
    scene.member.finished.insert(theirs[0]);
    scene.see(&theirs[1..], 5);
    assert_eq!(scene.taken(&theirs[1..]), theirs[1..]);
    scene.see(&theirs[2..], 0);
    assert_eq!(scene.taken(&theirs[2..]), [0; 0], "the holder is back at work");
}

#[test]
fn a_fresh_batch_waits_for_its_holder_though_an_old_one_is_stuck() {
    let mut scene = Scene::holding([0]);
    let theirs = of(2, 2);
    scene.see(&theirs[..1], 200);
    scene.see(&theirs, 5);
    assert_eq!(scene.taken(&theirs), theirs[..1]);
}

#[test]
fn another_assignment_gives_everybody_the_whole_time_again() {
    let mut scene = Scene::holding([0, 1]);
    let theirs = of(2, 3);
    scene.see(&theirs, 120);
    assert_eq!(scene.taken(&theirs), theirs);
    scene.said.hold([0]);
    scene.see(&theirs, 115);
    assert_eq!(scene.taken(&theirs), [0; 0]);
    scene.see(&theirs, 5);
    assert_eq!(scene.taken(&theirs), theirs);
}

#[test]
fn a_member_without_progress_leaves_and_stays_away_the_longer_the_more_often() {
    let mut scene = Scene::holding([0, 1]);
    let mine = of(1, 2);
    scene.see(&mine, 60);
    assert_eq!(scene.said.asked(), ["leave"]);
    assert_eq!(scene.taken(&mine), [0; 0], "they are others' now");
    scene.see(&mine, 115);
    assert_eq!(scene.said.asked(), ["leave"]);
    scene.see(&[], 5);
    assert_eq!(scene.said.asked(), ["leave", "join"]);

    let more = of(0, 2);
    scene.see(&more, 65);
    assert_eq!(scene.said.asked(), ["leave", "join", "leave"]);
    scene.see(&more, 120);
    assert_eq!(scene.taken(&more), more, "nobody took them");
    scene.see(&[], 110);
    assert_eq!(scene.said.asked().len(), 3);
    scene.see(&[], 5);
    assert_eq!(scene.said.asked().len(), 4);
}

#[test]
fn who_finishes_others_of_its_share_stays() {
    let mut scene = Scene::holding([0, 1]);
    let mine = of(1, 14);
    for done in 1..14 {
        scene.see(&[&mine[..1], &mine[done..]].concat(), 10);
        scene.member.finished.insert(mine[done]);
    }
    assert_eq!(scene.said.asked(), [""; 0]);
}

#[test]
fn who_holds_everything_stays_as_nobody_would_take_it() {
    let mut scene = Scene::holding(0..OF);
    scene.see(&of(1, 2), 600);
    assert_eq!(scene.said.asked(), [""; 0]);
}

#[test]
fn a_worker_without_a_group_takes_everything() {
    let share = Share::default();
    assert!(share.takes(7) && !share.hear() && !share.is_restless() && !share.look_is_due());
}
