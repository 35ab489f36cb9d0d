//! Every visitor makes every call, of what is theirs, of what is another's and of what is nobody's: how they are
//! answered follows from the policy and from whose it is.

use std::collections::{BTreeMap, BTreeSet};

use client::request_id;
use e2e::{Engine, channel};
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
use services::{POLICIES, Policy};
use tonic::{Code, transport::Channel};

use super::{
    objects::{Object, Scene},
    table::{Case, Names, Row, TABLE},
    visitors::Visitor,
    wire::{Whole, call},
};

#[test]
fn every_call_has_a_row_for_whatever_it_names() {
    let contract = Contract::read();
    for (path, request) in &contract.calls {
        let rows: Vec<_> = TABLE.iter().filter(|row| row.path() == *path).map(|row| row.names).collect();
        let (ids, ours) =
            (contract.ids_in(request), rows.iter().filter(|names| matches!(names, Names::This(_))));
        let about = format!("in access/table.rs are {rows:?} for {path}, which has {ids:?}");
        assert!(!rows.is_empty(), "{about}");
        if rows.iter().any(|names| matches!(names, Names::Anybodys(_))) {
            assert!(!ids.is_empty(), "{about}");
        } else {
            assert!(ours.count() >= ids.len(), "{about}");
        }
    }
    let unknown: Vec<_> =
        TABLE.iter().map(Row::path).filter(|path| !contract.calls.contains_key(path)).collect();
    assert!(unknown.is_empty(), "there is no call {unknown:?}");
}

e2e::stories! {
    async fn whatever_is_not_the_callers_is_not_there_and_stays_as_it_is(engine: Engine) {
        let mut matrix = Box::pin(Matrix::of(engine)).await;
        let missing = matrix.strangers_are_refused().await;
        let read = matrix.owners_read().await;
        let (firsts, others): (Vec<_>, Vec<_>) = Visitor::ALL.into_iter().partition(|visitor| visitor.is_first());
        matrix.owners_write(&others, false, &missing).await;
        matrix.others_changed_nothing(&read).await;
        matrix.owners_write(&firsts, false, &missing).await;
        matrix.owners_write(&Visitor::ALL, true, &missing).await;
        matrix.owners_are_told();
        assert!(matrix.wrong.is_empty(), "{} wrong:\n{}", matrix.wrong.len(), matrix.wrong.join("\n"));
    }
}

/// What the contract calls.
struct Contract {
    /// Each path, and the name of the request.
    calls: BTreeMap<String, String>,
    messages: BTreeMap<String, DescriptorProto>,
}

impl Contract {
    fn read() -> Self {
        let files = FileDescriptorSet::decode(api::DESCRIPTORS).unwrap().file;
        let (mut calls, mut messages) = (BTreeMap::new(), BTreeMap::new());
        for file in files {
            let package = file.package().to_owned();
            for service in &file.service {
                let call = |method: &prost_types::MethodDescriptorProto| {
                    let path = format!("/{package}.{}/{}", service.name(), method.name());
                    (path, method.input_type().to_owned())
                };
                calls.extend(service.method.iter().map(call));
            }
            let named = |message: DescriptorProto| (format!(".{package}.{}", message.name()), message);
            messages.extend(file.message_type.into_iter().map(named));
        }
        Self { calls, messages }
    }

    /// The fields of a message that name something, however deep.
    fn ids_in(&self, message: &str) -> Vec<String> {
        let (mut ids, mut seen) = (Vec::new(), BTreeSet::new());
        let mut unread = vec![(String::new(), message.to_owned())];
        while let Some((path, message)) = unread.pop() {
            let described = self.messages.get(&message).filter(|_| seen.insert(message.clone()));
            for field in described.iter().flat_map(|message| &message.field) {
                let (name, path) = (field.name(), format!("{path}{}", field.name()));
                let is_id = name == "id" || name.ends_with("_id") || name.ends_with("_ids");
                if is_id && name != "request_id" {
                    ids.push(path);
                } else if field.r#type() == Type::Message {
                    unread.push((format!("{path}."), field.type_name().to_owned()));
                }
            }
        }
        ids
    }
}

/// Everybody, and everything that they can call.
struct Matrix {
    scene: Scene,
    channel: Channel,
    objects: Vec<Owned>,
    /// What is told to these visitors alone.
    secrets: Vec<(Vec<u8>, &'static [Visitor])>,
    /// Which of the secrets was told to whom.
    told: BTreeSet<(usize, Visitor)>,
    /// What is not as it should be; all of it, since one mistake often shows in many places.
    wrong: Vec<String>,
}

/// Something that is somebody's.
struct Owned {
    id: Vec<u8>,
    object: Object,
    /// The row that it is for, by its place, and which of the owners makes the call.
    row: usize,
    owner: Visitor,
}

impl Matrix {
    /// Each owner who may make a call has an object of their own for it, so that no call takes away what another needs.
    async fn of(engine: Engine) -> Self {
        let mut wanted = Vec::new();
        for (place, row) in TABLE.iter().enumerate() {
            let Names::This(object) = row.names else { continue };
            let owners = object.owners();
            let admitted = owners.iter().filter(|owner| owner.refused_by(policy(row)).is_none());
            let before = wanted.len();
            wanted.extend(admitted.map(|owner| (place, object, *owner)));
            if wanted.len() == before {
                // The call is made by others alone.
                wanted.push((place, object, owners[0]));
            }
        }
        let objects: Vec<_> = wanted.iter().map(|(_, object, _)| *object).collect();
        let (scene, ids) = Box::pin(Scene::with(engine, &objects)).await;
        let own = |(id, (row, object, owner))| Owned { id, object, row, owner };
        let objects: Vec<_> = ids.into_iter().zip(wanted).map(own).collect();
        let secret = objects.iter().filter(|owned| owned.object.is_secret());
        let secret: BTreeMap<_, _> = secret.map(|owned| (owned.id.clone(), owned.object.owners())).collect();
        let secrets = secret.into_iter().chain(scene.secrets()).collect();
        let channel = channel(scene.world.address).await;
        Self { scene, channel, objects, secrets, told: BTreeSet::new(), wrong: Vec::new() }
    }

    /// Whoever may not make a call, or not of this object, is refused as if there were none, and changes nothing. Says
    /// how each row's call refuses what is not there.
    async fn strangers_are_refused(&mut self) -> BTreeMap<usize, Whole> {
        let (mut missing, mut refusals) = (BTreeMap::new(), BTreeMap::new());
        for visitor in Visitor::ALL {
            let token = self.scene.token(visitor).await;
            let before = self.scene.world.fingerprint().await;
            for (place, row) in TABLE.iter().enumerate() {
                let refused = visitor.refused_by(policy(row));
                for named in self.not_theirs(visitor, place, refused.is_some()) {
                    let message = self.message(visitor, row, &named);
                    let answer = self.ask(token.as_deref(), row, message).await;
                    let reason = refused.unwrap_or((Code::NotFound, "NOT_FOUND"));
                    let about = format!("{visitor:?} at {} of {}", row.path(), self.name(&named));
                    let Some(whole) = self.is_refused(&about, answer, reason) else { continue };
                    let first = match refused {
                        Some(_) => refusals.entry(reason.1).or_insert(whole.clone()),
                        None => missing.entry(place).or_insert(whole.clone()),
                    };
                    if whole != *first {
                        self.wrong.push(format!("{about}: {whole:?} and elsewhere {first:?}"));
                    }
                }
            }
            self.is_as_it_was(&before, &format!("{visitor:?}, refused,"), &[]).await;
        }
        missing
    }

    /// What the visitor can name at a row that is not theirs: what is another's, and what is nobody's.
    fn not_theirs(&self, visitor: Visitor, place: usize, is_refused: bool) -> BTreeSet<Vec<u8>> {
        let own = self.objects.iter().find(|owned| owned.row == place);
        match own {
            // Who may not make the call may not whatever it names.
            Some(own) if is_refused => [own.id.clone(), nobodys(&own.id)].into(),
            None if is_refused => [Vec::new()].into(),
            None => BTreeSet::new(),
            // The row's own, and one of each kind: an id of something else may not lead to it.
            Some(own) => {
                let one_of_each = |owned: &&Owned| {
                    let first = self.objects.iter().find(|first| first.object == owned.object);
                    owned.row == place || first.is_some_and(|first| first.id == owned.id)
                };
                let others = self.objects.iter().filter(|owned| !owned.object.owners().contains(&visitor));
                let others = others.filter(|owned| owned.id.len() == own.id.len()).filter(one_of_each);
                others.map(|owned| owned.id.clone()).chain([nobodys(&own.id)]).collect()
            }
        }
    }

    /// Whoever may make a call, of what is theirs, is answered; reading changes nothing. Says what the first of each kind
    /// are told that only they can change.
    async fn owners_read(&mut self) -> BTreeMap<(Visitor, usize), Answer> {
        let mut own = BTreeMap::new();
        for visitor in Visitor::ALL {
            let token = self.scene.token(visitor).await;
            let before = self.scene.world.fingerprint().await;
            for (place, row) in TABLE.iter().enumerate().filter(|(_, row)| row.reads()) {
                let Some(named) = self.theirs(visitor, place) else { continue };
                let message = self.message(visitor, row, &named);
                let answer = self.ask(token.as_deref(), row, message).await;
                self.is_answered(visitor, row, &answer);
                if visitor.is_first() && row.is_private(policy(row)) {
                    own.insert((visitor, place), answer);
                }
            }
            let written: &[&str] = if visitor.is_written_down() { &["access_log"] } else { &[] };
            self.is_as_it_was(&before, &format!("{visitor:?}, reading,"), written).await;
        }
        own
    }

    /// Whatever others did of their own, the first of each kind are told what they were told before.
    async fn others_changed_nothing(&mut self, before: &BTreeMap<(Visitor, usize), Answer>) {
        for ((visitor, place), before) in before {
            let row = &TABLE[*place];
            let named = self.theirs(*visitor, *place).unwrap_or_default();
            let token = self.scene.token(*visitor).await;
            let answer = self.ask(token.as_deref(), row, self.message(*visitor, row, &named)).await;
            if answer != *before {
                self.wrong.push(format!("{visitor:?} at {}: others changed it", row.path()));
            }
        }
    }

    /// These visitors change what is theirs: by the calls after which a caller is somebody else, or by the others. What was
    /// answered to the owner is not to whoever says the same again.
    async fn owners_write(&mut self, visitors: &[Visitor], ends: bool, missing: &BTreeMap<usize, Whole>) {
        let rows = TABLE.iter().enumerate().filter(|(_, row)| !row.reads() && row.ends_the_caller() == ends);
        for (place, row) in rows {
            for visitor in visitors.iter().copied() {
                let Some(named) = self.theirs(visitor, place) else { continue };
                let message = self.message(visitor, row, &named);
                let token = self.scene.token(visitor).await;
                let answer = self.ask(token.as_deref(), row, message.clone()).await;
                self.is_answered(visitor, row, &answer);

                let Names::This(object) = row.names else { continue };
                let strangers = Visitor::ALL.into_iter().filter(|other| !object.owners().contains(other));
                for stranger in strangers.filter(|other| other.refused_by(policy(row)).is_none()) {
                    let token = self.scene.token(stranger).await;
                    let again = self.ask(token.as_deref(), row, message.clone()).await;
                    let about = format!("{stranger:?} at {} after {visitor:?}", row.path());
                    let whole = self.is_refused(&about, again, (Code::NotFound, "NOT_FOUND"));
                    if whole.is_some_and(|whole| missing.get(&place) != Some(&whole)) {
                        self.wrong.push(format!("{about}: refused otherwise than before"));
                    }
                }
            }
        }
    }

    /// Otherwise nothing of this would have shown that others are not.
    fn owners_are_told(&mut self) {
        for (place, (secret, owners)) in self.secrets.iter().enumerate() {
            for owner in owners.iter().filter(|owner| !self.told.contains(&(place, **owner))) {
                self.wrong.push(format!("{owner:?} is never told {}", self.name(secret)));
            }
        }
    }

    /// What the visitor names of their own at a row, if they may make the call.
    fn theirs(&self, visitor: Visitor, place: usize) -> Option<Vec<u8>> {
        let row = &TABLE[place];
        if visitor.refused_by(policy(row)).is_some() {
            return None;
        }
        match row.names {
            Names::Nothing | Names::Anybodys(_) => Some(Vec::new()),
            Names::This(_) => {
                let own = self.objects.iter().find(|owned| owned.row == place && owned.owner == visitor);
                own.map(|owned| owned.id.clone())
            }
        }
    }

    fn message(&self, visitor: Visitor, row: &Row, named: &[u8]) -> Vec<u8> {
        (row.request)(&Case { visitor, named, scene: &self.scene })
    }

    async fn ask(&self, token: Option<&str>, row: &Row, message: Vec<u8>) -> Answer {
        call(&self.channel, &row.path(), token, message, row.is_endless()).await
    }

    fn is_refused(&mut self, about: &str, answer: Answer, as_of: (Code, &str)) -> Option<Whole> {
        match answer {
            Err(whole) if whole.reason() == as_of => Some(whole),
            Err(whole) => {
                self.wrong.push(format!("{about}: {whole:?} and not {as_of:?}"));
                None
            }
            Ok(_) => {
                self.wrong.push(format!("{about}: answered"));
                None
            }
        }
    }

    /// The answer is the row's, and tells nothing that is for others.
    fn is_answered(&mut self, visitor: Visitor, row: &Row, answer: &Answer) {
        let about = format!("{visitor:?} at {}", row.path());
        let (heard, refused) = match answer {
            Ok(messages) => (messages.concat(), None),
            Err(whole) => (Vec::new(), Some(whole.reason())),
        };
        if refused != row.refused {
            self.wrong.push(format!("{about}: {refused:?} and not {:?}", row.refused));
        }
        for (place, (secret, owners)) in self.secrets.iter().enumerate() {
            if heard.windows(secret.len()).any(|part| part == secret) {
                self.told.insert((place, visitor));
                if !owners.contains(&visitor) {
                    self.wrong.push(format!("{about}: is told {}", self.name(secret)));
                }
            }
        }
    }

    async fn is_as_it_was(&mut self, before: &BTreeMap<String, String>, who: &str, but: &[&str]) {
        let after = self.scene.world.fingerprint().await;
        let changed = after.iter().filter(|(table, rows)| before.get(*table) != Some(rows));
        let changed = changed.filter(|(table, _)| !but.contains(&table.as_str()));
        self.wrong.extend(changed.map(|(table, _)| format!("{who} changed {table}")));
    }

    /// What an id is of.
    fn name(&self, id: &[u8]) -> String {
        match self.objects.iter().find(|owned| owned.id == id) {
            Some(Owned { object, row, .. }) => format!("the {object:?} of {}", TABLE[*row].path()),
            None => String::from_utf8(id.to_vec()).unwrap_or_else(|_| "what was sealed".to_owned()),
        }
    }
}

/// What a call is answered.
type Answer = Result<Vec<Vec<u8>>, Whole>;

/// Who may make the row's call.
fn policy(row: &Row) -> Policy {
    let path = row.path();
    POLICIES.iter().find(|(known, _)| *known == path).expect("a call of the table of policies").1
}

/// An id of the same shape that nobody's object has.
fn nobodys(like: &[u8]) -> Vec<u8> {
    let id = request_id().into_bytes();
    if id.len() == like.len() { id } else { id.into_iter().cycle().take(like.len()).collect() }
}
