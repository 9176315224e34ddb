//! `attestune review`, full-screen: an example is claimed, read (on the record), decided on; decisions are signed
//! together.

mod draw;
mod hiding;
mod state;
#[cfg(test)]
mod tests;
mod text;

pub use text::inert;

use super::{decide, desk::claiming, parse_text};
use crate::{
    context::Context,
    problem,
    session::{Session, now_ms},
};
use attestune_proto::v1::{ReviewItem, ReviewQueueRequest, ReviewQueueView, ReviewRules, Verdict};
use draw::Look;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use state::{Effect, Item, Screen};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;

/// A claim that ends sooner than this is made anew.
const CLAIM_LEFT_MS: u64 = 10 * 60_000;

#[derive(clap::Args)]
pub struct Args {
    /// The collection; all without it
    collection: Option<String>,
    /// How many examples to take at once
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=512))]
    take: u32,
}

impl Default for Args {
    fn default() -> Self {
        Self { collection: None, take: 20 }
    }
}

/// Where the examples come from and where decisions go.
struct Desk<'a> {
    session: Session,
    args: &'a Args,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    signed: usize,
    refused: Vec<String>,
    positions: Vec<u64>,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(problem::cannot(
            "reviewing full-screen needs a terminal",
            "elsewhere: `attestune review queue`, `show`, `approve`, `reject`, `redact`",
        ));
    }
    let desk = Desk { session: context.connect_as_actor().await?, args };
    let (items, rules) = desk.fetch().await?;
    if items.is_empty() {
        println!("nothing waits for you");
        return Ok(());
    }
    let look = Look { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()), now_ms: now_ms() };
    let mut screen = Screen::new(items, rules);
    let mut outcome = Outcome::default();
    let mut terminal = ratatui::try_init()?;
    let worked = desk.work(&mut terminal, &mut screen, &mut outcome, look).await;
    ratatui::restore();
    for refused in &outcome.refused {
        eprintln!("not taken: {refused}");
    }
    if !outcome.positions.is_empty() {
        let positions: Vec<_> = outcome.positions.iter().map(u64::to_string).collect();
        println!("{} decisions signed, at position {}", outcome.signed, positions.join(", "));
    }
    if !screen.decided.is_empty() {
        eprintln!("{} decisions were not signed", screen.decided.len());
    }
    worked
}

impl Desk<'_> {
    async fn work(
        &self,
        terminal: &mut DefaultTerminal,
        screen: &mut Screen,
        outcome: &mut Outcome,
        mut look: Look,
    ) -> anyhow::Result<()> {
        loop {
            look.now_ms = now_ms();
            let mut scroll = 0;
            terminal.draw(|frame| {
                let area = frame.area();
                scroll = draw::draw(frame.buffer_mut(), area, screen, look);
            })?;
            screen.scroll = scroll;
            let effect = match tokio::task::block_in_place(event::read)? {
                Event::Key(key) if key.kind != KeyEventKind::Release => screen.on_key(key),
                _ => Effect::Nothing,
            };
            match effect {
                Effect::Nothing => {}
                Effect::Redraw => terminal.clear()?,
                Effect::Leave => return Ok(()),
                Effect::Sign | Effect::SignAndLeave => match self.sign(screen, outcome).await {
                    // What was decided is still there, to be tried again.
                    Err(error) => screen.message = format!("not signed: {error:#}"),
                    Ok(()) if effect == Effect::SignAndLeave => return Ok(()),
                    Ok(()) => {
                        let (more, _) = self.fetch().await?;
                        screen.signed(more);
                        screen.message = format!("{} decisions signed", outcome.signed);
                        if screen.items.is_empty() {
                            return Ok(());
                        }
                    }
                },
            }
        }
    }

    async fn sign(&self, screen: &mut Screen, outcome: &mut Outcome) -> anyhow::Result<()> {
        let made = screen.made();
        let given = made.len();
        let signed = decide::sign_what_can_be(&self.session, made).await?;
        outcome.signed += given - signed.refused.len();
        outcome.positions.extend(signed.positions);
        let told = signed.refused.into_iter().map(|(at, why)| format!("{}/{}: {why}", at.batch, at.index));
        outcome.refused.extend(told);
        screen.signed(Vec::new());
        Ok(())
    }

    /// Takes the next examples that wait: claims them, and reads what it has then.
    async fn fetch(&self) -> anyhow::Result<(Vec<Item>, ReviewRules)> {
        let next = self.ask(ReviewQueueView::Next, false).await?;
        self.claim(&next.0).await?;
        let (items, rules) = self.ask(ReviewQueueView::Claimed, true).await?;
        let read = items.into_iter().map(|item| {
            let text = parse_text(&item.text)?;
            Ok(Item::new(item, text))
        });
        Ok((read.collect::<anyhow::Result<_>>()?, rules))
    }

    async fn ask(&self, view: ReviewQueueView, texts: bool) -> anyhow::Result<(Vec<ReviewItem>, ReviewRules)> {
        let request = ReviewQueueRequest {
            collection: self.args.collection.clone().unwrap_or_default(),
            limit: self.args.take,
            view: view.into(),
            now_ms: now_ms(),
            texts,
            after: None,
        };
        let queue = self.session.review().queue(request).await?.into_inner();
        Ok((queue.items, queue.rules.unwrap_or_default()))
    }

    /// Claims what nobody has. What somebody else took in between is left to that person.
    async fn claim(&self, items: &[ReviewItem]) -> anyhow::Result<()> {
        let me = &self.session.signer()?.actor;
        let mut batches: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        let mine = |item: &&ReviewItem| item.claimed_by == *me && item.claim_expires_ms > now_ms() + CLAIM_LEFT_MS;
        for item in items.iter().filter(|item| !mine(item)) {
            let at = item.example.as_ref().and_then(|info| info.example).unwrap_or_default();
            batches.entry(at.batch).or_default().push(at.index);
        }
        for (batch, mut indices) in batches {
            indices.sort_unstable();
            let envelope = self.session.sign(claiming(batch, indices, me), None, &[]).await?;
            let receipt = self.session.append_envelope(envelope).await?;
            let code = receipt.refusal.as_ref().map_or("", |refusal| refusal.code.as_str());
            let taken = ["lease-held", "assigned-to-another", "reviewed-before"].contains(&code);
            if receipt.verdict() != Verdict::Accepted && !taken {
                return Err(problem::refused(receipt));
            }
        }
        Ok(())
    }
}
