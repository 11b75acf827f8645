use alloy_primitives::{Address, Bytes};
use redb::backends::InMemoryBackend;
use tacit_abi::{Receipt, Voucher, channels::SignedVoucher, receipts::SignedReceipt};
use tacit_wire::{Amount, language::TokenCount};

use super::*;
use crate::quota::{Day, Question};

fn record(number: u64, channel_id: B256, cumulative: u128) -> (JobId, JobRecord) {
    let job_id = JobId(B256::from(alloy_primitives::U256::from(number)));
    let zero = B256::ZERO;
    let receipt = Receipt {
        jobId: job_id.0,
        modelId: zero,
        channelId: channel_id,
        client: Address::ZERO,
        worker: Address::ZERO,
        privacy: 0,
        evidence: 0,
        inputCommitment: zero,
        outputCommitment: zero,
        evidenceHash: zero,
        price: 1,
        cumulative,
        completedAt: 0,
    };
    let receipt = SignedReceipt { receipt, signature: Bytes::new() };
    (job_id, JobRecord { digest: zero, receipt, paid: false, batch: None })
}

fn channel() -> ChannelRecord {
    ChannelRecord {
        client: Address::ZERO,
        signer: Address::ZERO,
        voucher: None,
        settled: Amount::ZERO,
        unpaid: None,
    }
}

fn voucher(channel_id: B256, cumulative: u128) -> SignedVoucher {
    SignedVoucher { voucher: Voucher { channelId: channel_id, cumulative }, signature: Bytes::new() }
}

#[test]
fn a_job_is_earned_once_and_when_it_is_paid() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let channel_id = B256::repeat_byte(1);
    let (job_id, job) = record(1, channel_id, 1);
    store.put_answer(job_id, &job, b"answer", channel(), Day(1), None).unwrap();
    assert!(store.tallies(Day(0)).unwrap().is_empty());
    for _ in 0..2 {
        store.put_voucher(channel(), &voucher(channel_id, 1), Some(job_id)).unwrap();
        let [tally] = <[_; 1]>::try_from(store.tallies(Day(0)).unwrap()).unwrap();
        assert_eq!((tally.requests, tally.failures, tally.earned), (1, 0, Amount(1)));
        assert_eq!((tally.day.as_str(), tally.model_id), ("1970-01-01", B256::ZERO));
    }
    // What was promised before covers the next one at once.
    let (job_id, job) = record(2, channel_id, 1);
    store.put_answer(job_id, &job, b"answer", channel(), Day(1), None).unwrap();
    let [tally] = <[_; 1]>::try_from(store.tallies(Day(0)).unwrap()).unwrap();
    assert_eq!((tally.requests, tally.earned), (2, Amount(2)));
}

#[test]
fn old_paid_answers_are_dropped_and_their_receipts_stay() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let channel_id = B256::repeat_byte(1);
    let total = ANSWERS_KEPT_MAX + 2;
    for number in 1..=total {
        let (job_id, job) = record(number, channel_id, number.into());
        store.put_answer(job_id, &job, b"answer", channel(), Day(1), None).unwrap();
        store.put_voucher(channel(), &voucher(channel_id, number.into()), Some(job_id)).unwrap();
    }
    for (number, kept) in [(1, false), (2, false), (3, true), (total, true)] {
        let (job_id, _) = record(number, channel_id, 0);
        assert_eq!(store.answer(job_id).unwrap().is_some(), kept, "{number}");
        assert!(store.job(job_id).unwrap().unwrap().paid);
    }
    assert_eq!((store.jobs_count().unwrap(), store.unanchored_count().unwrap()), (total, total));
}

#[test]
fn answers_are_counted_by_day_model_and_client_and_old_days_are_dropped() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let clients = [1, 2].map(Address::repeat_byte);
    let mut number = 0;
    let mut answer = |day: u64, model: u8, client: Address| {
        number += 1;
        let (job_id, mut job) = record(number, B256::repeat_byte(1), 0);
        (job.receipt.receipt.modelId, job.receipt.receipt.client) = (B256::repeat_byte(model), client);
        store.put_answer(job_id, &job, b"", channel(), Day(day), None).unwrap();
        job_id
    };
    let known = answer(5, 1, clients[0]);
    for (day, model, client) in [(5, 1, 0), (5, 1, 1), (5, 2, 0), (6, 1, 0)] {
        answer(day, model, clients[client]);
    }
    let count = |day: u64, model: u8, client: Address, beside: &[Question]| {
        let count = store.day_count(Day(day), B256::repeat_byte(model), client, beside).unwrap();
        (count.client, count.total)
    };
    assert_eq!(count(5, 1, clients[0], &[]), (2, 3));
    assert_eq!(count(5, 1, clients[1], &[]), (1, 3));
    assert_eq!(count(5, 2, clients[1], &[]), (0, 1));
    assert_eq!(count(6, 1, clients[0], &[]), (1, 1));
    // What is on disk is not counted again because it has not left the list of what is being answered.
    let beside = |job_id, client| Question { day: Day(5), model_id: B256::repeat_byte(1), client, job_id };
    let new = JobId(B256::repeat_byte(9));
    assert_eq!(count(5, 1, clients[0], &[beside(known, clients[0])]), (2, 3));
    assert_eq!(count(5, 1, clients[0], &[beside(new, clients[0])]), (3, 4));
    assert_eq!(count(5, 1, clients[0], &[beside(new, clients[1])]), (2, 4));
    answer(7, 1, clients[0]);
    assert_eq!(count(5, 1, clients[0], &[]), (0, 0));
    assert_eq!(count(6, 1, clients[0], &[]), (1, 1));
}

#[test]
fn a_lower_voucher_changes_nothing() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let channel_id = B256::repeat_byte(1);
    assert_eq!(store.put_voucher(channel(), &voucher(channel_id, 5), None).unwrap(), Amount(5));
    assert_eq!(store.put_voucher(channel(), &voucher(channel_id, 4), None).unwrap(), Amount(5));
    store.put_settled(channel_id, Amount(3)).unwrap();
    store.put_settled(channel_id, Amount(2)).unwrap();
    let kept = store.channel(channel_id).unwrap().unwrap();
    assert_eq!((kept.promised(), kept.settled), (Amount(5), Amount(3)));
}

#[test]
fn batches_take_the_oldest_first_and_each_receipt_once() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let channel_id = B256::repeat_byte(1);
    for number in 1..=5 {
        let (job_id, job) = record(number, channel_id, number.into());
        store.put_answer(job_id, &job, b"", channel(), Day(1), None).unwrap();
        store.put_voucher(channel(), &voucher(channel_id, number.into()), Some(job_id)).unwrap();
    }
    let mut sizes = Vec::new();
    while let Some(root) = store.begin_batch(2, 1).unwrap() {
        assert_eq!(store.open_batches().unwrap().len(), 1);
        let jobs = store.batch(root).unwrap().unwrap().jobs;
        assert!(jobs.iter().all(|job_id| store.job(*job_id).unwrap().unwrap().batch == Some(root)));
        sizes.push(jobs.len());
        store.end_batch(root, 9).unwrap();
        assert!(store.open_batches().unwrap().is_empty());
    }
    assert_eq!(sizes, [2, 2, 1]);
}

/// Versions before this one looked for open batches among all.
#[test]
fn open_batches_of_an_older_file_are_found() {
    let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
    let [open, ended] = [1, 2].map(B256::repeat_byte);
    let write = database.begin_write().unwrap();
    for (root, block) in [(open, None), (ended, Some(7))] {
        let batch = BatchRecord { jobs: Vec::new(), leaves: Vec::new(), block };
        put(&write, BATCHES, root, &batch).unwrap();
    }
    write.commit().unwrap();
    let store = Store::prepare(database).unwrap();
    let roots = || store.open_batches().unwrap().into_iter().map(|(root, _)| root).collect::<Vec<_>>();
    assert_eq!(roots(), [open]);
    store.end_batch(open, 9).unwrap();
    assert!(roots().is_empty());
}

fn account(cumulative: u128, owed: u128) -> AccountRecord {
    AccountRecord {
        client: Address::ZERO,
        signer: Address::ZERO,
        voucher: Some(voucher(B256::repeat_byte(1), cumulative)),
        settled: Amount::ZERO,
        owed: Amount(owed),
        running: false,
    }
}

fn end(number: u64, channel_id: B256, cumulative: u128, failed: bool) -> StreamEnd {
    let tokens = TokenCount { prompt: 2, completion: 3 };
    let tally = Tally { day: Day(4), model_id: B256::repeat_byte(7), tokens, earned: Amount(5), failed };
    StreamEnd { receipt: Some(record(number, channel_id, cumulative).1.receipt), tally }
}

#[test]
fn receipts_of_streams_are_anchored_once_they_are_paid_for() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let (channel_id, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
    store.open_account(channel_id, &account(0, 0)).unwrap();
    let ends = [end(1, channel_id, 5, false), end(2, channel_id, 9, false), end(3, other, 1, true)];
    assert!(!store.put_streams(&[(channel_id, account(4, 9))], &ends).unwrap());
    assert_eq!((store.jobs_count().unwrap(), store.unanchored_count().unwrap()), (3, 0));
    assert!(store.put_streams(&[(channel_id, account(5, 9))], &[]).unwrap());
    assert!(!store.put_streams(&[(channel_id, account(8, 9))], &[]).unwrap());
    assert_eq!(store.unanchored_count().unwrap(), 1);
    // A voucher that came with the end pays for it at once; each is taken once.
    assert!(store.put_streams(&[(channel_id, account(20, 12))], &[end(4, channel_id, 12, false)]).unwrap());
    assert_eq!(store.unanchored_count().unwrap(), 3);
    let root = store.begin_batch(9, 1).unwrap().unwrap();
    let jobs = store.batch(root).unwrap().unwrap().jobs;
    assert_eq!(jobs, [1, 2, 4].map(|number| record(number, channel_id, 0).0));
    assert!(!store.job(record(3, other, 0).0).unwrap().unwrap().paid);
    let [tally] = <[_; 1]>::try_from(store.tallies(Day(4)).unwrap()).unwrap();
    assert_eq!((tally.requests, tally.failures, tally.earned), (4, 1, Amount(20)));
    assert_eq!((tally.prompt_tokens, tally.completion_tokens), (8, 12));
    assert!(store.tallies(Day(5)).unwrap().is_empty());

    // Ends whose account did not change meanwhile.
    assert!(store.put_streams(&[], &[end(5, channel_id, 19, false)]).unwrap(), "it was paid for before");
    assert!(!store.put_streams(&[], &[end(6, channel_id, 21, false)]).unwrap());
    assert_eq!(store.unanchored_count().unwrap(), 1);
}

#[test]
fn a_channel_is_for_jobs_or_for_streams() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let (streams, jobs) = (B256::repeat_byte(1), B256::repeat_byte(2));
    store.open_account(streams, &account(3, 0)).unwrap();
    let other_use = |done: Result<_, _>| matches!(done, Err(StoreError::OtherUse { .. }));
    assert!(other_use(store.put_voucher(channel(), &voucher(streams, 5), None).map(|_| ())));
    let (job_id, job) = record(1, streams, 1);
    assert!(other_use(store.put_answer(job_id, &job, b"", channel(), Day(1), None)));
    store.put_voucher(channel(), &voucher(jobs, 5), None).unwrap();
    assert!(other_use(store.open_account(jobs, &account(0, 0))));
    // Both are settled, and what was paid out is not forgotten by a later write.
    let promised: Vec<_> = store.promises().unwrap().iter().map(Promise::promised).collect();
    assert_eq!(promised, [Amount(5), Amount(3)]);
    store.put_settled(streams, Amount(2)).unwrap();
    store.put_streams(&[(streams, account(3, 1))], &[]).unwrap();
    assert_eq!(store.account(streams).unwrap().unwrap().settled, Amount(2));
}

#[test]
fn runs_are_kept_while_they_may_be_disputed_and_then_forgotten() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let channel_id = B256::repeat_byte(1);
    let mut runs = Vec::new();
    for (number, until_s) in [(1, 100), (2, 200)] {
        let (job_id, job) = record(number, channel_id, 0);
        let run = RunRecord {
            receipt: job_id.0,
            model_id: B256::ZERO,
            values: vec![-1, 2],
            salt: None,
            root: None,
            until_s,
        };
        store.put_answer(job_id, &job, b"", channel(), Day(1), Some(&run)).unwrap();
        runs.push(run);
    }
    for (now_s, kept) in
        [(99, [true, true]), (100, [true, true]), (101, [false, true]), (500, [false, false])]
    {
        store.forget_runs(now_s).unwrap();
        for (run, is_kept) in runs.iter().zip(kept) {
            assert_eq!(store.run(run.receipt).unwrap(), is_kept.then(|| run.clone()), "{now_s}");
        }
    }
}

#[test]
fn a_run_is_asked_about_so_often_and_opened_in_one_element() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let [one, other] = [1, 2].map(B256::repeat_byte);
    assert!(store.count_walk(one, Some((0, 7))).unwrap());
    assert!(!store.count_walk(one, Some((0, 8))).unwrap() && !store.count_walk(one, Some((1, 7))).unwrap());
    for _ in 1..WALK_QUESTIONS_MAX - 1 {
        assert!(store.count_walk(one, None).unwrap());
    }
    assert!(store.count_walk(one, Some((0, 7))).unwrap());
    assert!(!store.count_walk(one, Some((0, 7))).unwrap() && !store.count_walk(one, None).unwrap());
    assert!(store.count_walk(other, Some((0, 8))).unwrap());
}

/// Whoever begins anew at a later block would miss what was opened before.
#[test]
fn challenges_are_looked_for_from_the_first_block_on() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    assert_eq!(store.watched().unwrap(), None);
    store.watch_from(7).unwrap();
    store.watch_from(9).unwrap();
    assert_eq!(store.watched().unwrap(), Some(7));
    let [id, receipt] = [1, 2].map(B256::repeat_byte);
    store.put_challenges(&[(id, receipt)], 12).unwrap();
    assert_eq!((store.watched().unwrap(), store.challenges().unwrap()), (Some(12), vec![(id, receipt)]));
    store.remove_challenge(id).unwrap();
    assert_eq!(store.challenges().unwrap(), []);
}
