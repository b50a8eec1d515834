//! What a vend opens and does not send is gone from memory when it has been answered.
#![cfg(target_os = "linux")]

use std::{fs, os::unix::fs::FileExt as _, sync::LazyLock};

use chancery::{entropy::Entropy, store::connections};
use regex::bytes::Regex;
use zeroize::Zeroizing;

use super::*;

/// What the token begins with. The program itself has this in memory, the rest of the token it has not.
const BEGINNING: &str = "planted-refresh-token-";
const MASK: u8 = 0x80;

/// A token that this story remembers only in disguise.
struct Planted {
    masked: Vec<u8>,
}

impl Planted {
    fn new() -> Self {
        let masked = Entropy::System.bytes::<40>().map(|byte| (b'a' + byte % 26) ^ MASK);
        Self { masked: masked.to_vec() }
    }

    /// It, in memory that does not move and is wiped.
    fn token(&self) -> Zeroizing<String> {
        let mut token = Zeroizing::new(String::with_capacity(BEGINNING.len() + self.masked.len()));
        token.push_str(BEGINNING);
        self.masked.iter().for_each(|byte| token.push(char::from(byte ^ MASK)));
        token
    }

    /// How often it is in the memory of this process: on the heap, freed or not, and on every stack.
    fn copies(&self) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let memory = fs::File::open("/proc/self/mem").unwrap();
        let writable = maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw"));
        let ranges = writable.map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap())
        });
        ranges.map(|(from, to)| self.copies_between(&memory, from, to)).sum()
    }

    /// The same of one mapping, a part at a time. What is unmapped meanwhile holds nothing.
    fn copies_between(&self, memory: &fs::File, from: u64, to: u64) -> usize {
        const PART: usize = 1 << 20;
        static WANTED: LazyLock<Regex> = LazyLock::new(|| Regex::new(BEGINNING).unwrap());
        let whole = BEGINNING.len() + self.masked.len();
        let mut part = Zeroizing::new(vec![0; PART + whole]);
        let is_rest = |rest: &[u8]| self.masked.iter().zip(rest).all(|(masked, byte)| masked ^ MASK == *byte);
        // What was read before is no other copy.
        let own = part.as_ptr_range();
        let own = own.start.addr() as u64..own.end.addr() as u64;
        let mut found = 0;
        for at in (from..to).step_by(PART) {
            let Ok(read) = memory.read_at(&mut part, at) else { continue };
            let starts = WANTED.find_iter(&part[..read]).map(|found| found.start());
            let starts = starts.filter(|start| *start < PART && start + whole <= read);
            let starts = starts.filter(|start| is_rest(&part[start + BEGINNING.len()..]));
            found += starts.filter(|start| !own.contains(&(at + *start as u64))).count();
        }
        found
    }
}

#[rstest]
#[tokio::test]
async fn a_refresh_token_does_not_outlive_the_vend_in_memory(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    let user = UserId::parse(sent.claims()["sub"].as_str().unwrap()).unwrap();
    let planted = Planted::new();
    let token = planted.token();
    assert_eq!(planted.copies(), 1, "what is there is found");
    let id = keep_for(&server.app, &user, "github", (ACCESS, Some(&token)), |row| {
        row.tenant = Some("acme".to_owned());
    })
    .await;
    drop(token);
    assert_eq!(planted.copies(), 0, "sealed");
    for _ in 0..20 {
        let got = vend(&server, sent.access()).await;
        assert_eq!((got.status, &got.body["access_token"]), (200, &json!(ACCESS)), "{}", got.body);
    }
    assert_eq!((server.app.vault.safe.opened(), planted.copies()), (20, 0));

    let row = connections::find(&server.app.db, &id).await.unwrap().unwrap();
    let kept = server.app.vault.safe.open(&row, server.clock.now()).await.unwrap();
    assert_eq!(planted.copies(), 1, "it is that which is opened");
    drop(kept);
    assert_eq!(planted.copies(), 0);
}
