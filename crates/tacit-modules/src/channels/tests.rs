//! One attack or rule a test.

use crate::{
    Failure, HostError, MODULES, Module,
    testing::{World, key, reverts, voucher, voucher_on},
};
use alloy_primitives::{Address, B256, Bytes, U256, uint};
use tacit_abi::{
    IChannels, IModule,
    channels::{ADDRESS, GRACE_S, channel_id},
};

const CHANNELS: Module = MODULES[1];
const COIN: u128 = 1_000_000_000_000_000_000;
const SALT: B256 = B256::repeat_byte(0x5a);

/// A client and a worker, both with coin, and an open channel of 10.
struct Scene {
    world: World,
    client_key: B256,
    client: Address,
    worker: Address,
    id: B256,
}

fn scene() -> Scene {
    let mut world = World::new();
    let (client_key, client) = key(1);
    let (_, worker) = key(2);
    world.fund(client, 100 * COIN);
    let open = IChannels::openCall { worker, signer: Address::ZERO, salt: SALT };
    let id = world.pay_call(CHANNELS, client, 10 * COIN, &open).unwrap();
    Scene { world, client_key, client, worker, id }
}

impl Scene {
    fn settle(&mut self, cumulative: u128) -> Result<(), Failure> {
        let signature = voucher(self.client_key, self.id, cumulative);
        self.settle_with(cumulative, signature)
    }

    fn settle_with(&mut self, cumulative: u128, signature: Bytes) -> Result<(), Failure> {
        let call = IChannels::settleCall { channelId: self.id, cumulative, signature };
        self.world.call(CHANNELS, self.worker, &call).map(|_| ())
    }

    fn request_close(&mut self, caller: Address) -> Result<(), Failure> {
        self.world.call(CHANNELS, caller, &IChannels::requestCloseCall { channelId: self.id }).map(|_| ())
    }

    fn close(&mut self, caller: Address) -> Result<(), Failure> {
        self.world.call(CHANNELS, caller, &IChannels::closeCall { channelId: self.id }).map(|_| ())
    }

    fn close_by_worker(
        &mut self,
        caller: Address,
        cumulative: u128,
        signature: Bytes,
    ) -> Result<(), Failure> {
        let call = IChannels::closeByWorkerCall { channelId: self.id, cumulative, signature };
        self.world.call(CHANNELS, caller, &call).map(|_| ())
    }

    fn record(&mut self) -> IChannels::Channel {
        self.world.call(CHANNELS, self.client, &IChannels::channelCall { channelId: self.id }).unwrap()
    }

    fn module_balance(&self) -> U256 {
        self.world.balance(ADDRESS)
    }
}

#[test]
fn opening_holds_the_deposit_under_the_published_id() {
    let mut scene = scene();
    let expected = channel_id(crate::testing::CHAIN_ID, scene.client, scene.worker, scene.client, SALT);
    assert_eq!(scene.id, expected);
    assert_eq!(scene.module_balance(), U256::from(10 * COIN));
    assert_eq!(
        scene.record(),
        IChannels::Channel {
            client: scene.client,
            worker: scene.worker,
            signer: scene.client,
            deposit: 10 * COIN,
            settled: 0,
            closeAt: 0,
            open: true,
        }
    );
    let opened: IChannels::Opened = scene.world.last();
    assert_eq!((opened.channelId, opened.deposit, opened.signer), (scene.id, 10 * COIN, scene.client));
    let ask = IChannels::channelIdCall {
        client: scene.client,
        worker: scene.worker,
        signer: Address::ZERO,
        salt: SALT,
    };
    assert_eq!(scene.world.call(CHANNELS, scene.worker, &ask).unwrap(), expected);
}

#[test]
fn a_voucher_pays_its_growth_and_nothing_twice() {
    let mut scene = scene();
    scene.settle(3 * COIN).unwrap();
    assert_eq!(scene.world.balance(scene.worker), U256::from(3 * COIN));
    scene.settle(5 * COIN).unwrap();
    assert_eq!(scene.world.balance(scene.worker), U256::from(5 * COIN));
    assert_eq!(
        scene.world.last::<IChannels::Settled>(),
        IChannels::Settled {
            channelId: scene.id,
            worker: scene.worker,
            paid: 2 * COIN,
            cumulative: 5 * COIN
        }
    );
    let stale = |cumulative| reverts(IChannels::StaleVoucher { settled: 5 * COIN, cumulative });
    assert_eq!(scene.settle(5 * COIN), Err(stale(5 * COIN)));
    assert_eq!(scene.settle(3 * COIN), Err(stale(3 * COIN)));
    assert_eq!(scene.settle(0), Err(stale(0)));
    assert_eq!(scene.module_balance(), U256::from(5 * COIN));
}

#[test]
fn a_voucher_above_the_deposit_is_refused_until_topped_up() {
    let mut scene = scene();
    let refused = reverts(IChannels::ExceedsDeposit { deposit: 10 * COIN, cumulative: 10 * COIN + 1 });
    assert_eq!(scene.settle(10 * COIN + 1), Err(refused));
    let top_up = IChannels::topUpCall { channelId: scene.id };
    scene.world.pay_call(CHANNELS, scene.client, 1, &top_up).unwrap();
    let topped: IChannels::ToppedUp = scene.world.last();
    assert_eq!((topped.amount, topped.deposit), (1, 10 * COIN + 1));
    scene.settle(10 * COIN + 1).unwrap();
    assert_eq!(scene.module_balance(), U256::ZERO);
}

#[test]
fn a_voucher_by_another_key_is_refused() {
    let mut scene = scene();
    let forged = voucher(key(2).0, scene.id, COIN);
    assert_eq!(scene.settle_with(COIN, forged), Err(reverts(IChannels::BadSignature {})));
}

#[test]
fn a_voucher_for_another_amount_is_refused() {
    let mut scene = scene();
    let other = voucher(scene.client_key, scene.id, COIN);
    assert_eq!(scene.settle_with(2 * COIN, other), Err(reverts(IChannels::BadSignature {})));
}

#[test]
fn a_voucher_for_another_channel_is_refused() {
    let mut scene = scene();
    let open = IChannels::openCall { worker: scene.worker, signer: Address::ZERO, salt: B256::ZERO };
    let other = scene.world.pay_call(CHANNELS, scene.client, COIN, &open).unwrap();
    let signature = voucher(scene.client_key, other, COIN);
    assert_eq!(scene.settle_with(COIN, signature), Err(reverts(IChannels::BadSignature {})));
}

#[test]
fn a_voucher_for_another_chain_is_refused() {
    let mut scene = scene();
    let signature = voucher_on(1, scene.client_key, scene.id, COIN);
    assert_eq!(scene.settle_with(COIN, signature), Err(reverts(IChannels::BadSignature {})));
}

#[test]
fn the_mirrored_signature_is_refused() {
    let order = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
    let mut scene = scene();
    let mut bytes = voucher(scene.client_key, scene.id, COIN).to_vec();
    let s = U256::from_be_slice(&bytes[32..64]);
    bytes[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
    bytes[64] = 55 - bytes[64];
    assert_eq!(scene.settle_with(COIN, bytes.into()), Err(reverts(IChannels::BadSignature {})));
}

#[test]
fn every_other_encoding_of_the_signature_is_refused() {
    let mut scene = scene();
    let good = voucher(scene.client_key, scene.id, COIN).to_vec();
    let mut others: Vec<Vec<u8>> = vec![Vec::new(), good[..64].to_vec(), [&good[..], &[0]].concat()];
    for v in (0..=u8::MAX).filter(|v| *v != good[64]) {
        let mut other = good.clone();
        other[64] = v;
        others.push(other);
    }
    for place in 0..64 {
        let mut other = good.clone();
        other[place] ^= 1;
        others.push(other);
    }
    others.push([[0; 64].as_slice(), &[27]].concat());
    others.push([[0xff; 64].as_slice(), &[28]].concat());
    for other in others {
        assert_eq!(scene.settle_with(COIN, other.into()), Err(reverts(IChannels::BadSignature {})));
    }
    scene.settle_with(COIN, good.into()).unwrap();
}

#[test]
fn a_delegated_signer_signs_instead_of_the_client() {
    let mut world = World::new();
    let (client_key, client) = key(1);
    let (signer_key, signer) = key(3);
    let (_, worker) = key(2);
    world.fund(client, COIN);
    let open = IChannels::openCall { worker, signer, salt: SALT };
    let id = world.pay_call(CHANNELS, client, COIN, &open).unwrap();
    let settle =
        |secret| IChannels::settleCall { channelId: id, cumulative: 1, signature: voucher(secret, id, 1) };
    let by_client = world.call(CHANNELS, worker, &settle(client_key)).map(|_| ());
    assert_eq!(by_client, Err(reverts(IChannels::BadSignature {})));
    world.call(CHANNELS, worker, &settle(signer_key)).unwrap();
    assert_eq!(world.balance(worker), U256::ONE);
}

#[test]
fn anyone_may_settle_and_the_worker_is_paid() {
    let mut scene = scene();
    let (_, stranger) = key(9);
    let signature = voucher(scene.client_key, scene.id, COIN);
    let call = IChannels::settleCall { channelId: scene.id, cumulative: COIN, signature };
    scene.world.call(CHANNELS, stranger, &call).unwrap();
    assert_eq!(scene.world.balance(scene.worker), U256::from(COIN));
    assert_eq!(scene.world.balance(stranger), U256::ZERO);
}

#[test]
fn opening_twice_is_refused_even_after_closing() {
    let mut scene = scene();
    let open = IChannels::openCall { worker: scene.worker, signer: scene.client, salt: SALT };
    let exists = Err(reverts(IChannels::ChannelExists { channelId: scene.id }));
    assert_eq!(scene.world.pay_call(CHANNELS, scene.client, COIN, &open), exists);
    scene.close_by_worker(scene.worker, 0, Bytes::new()).unwrap();
    assert_eq!(scene.world.pay_call(CHANNELS, scene.client, COIN, &open), exists);
}

#[test]
fn opening_needs_a_deposit_and_a_payable_worker() {
    let mut scene = scene();
    let open = |worker| IChannels::openCall { worker, signer: Address::ZERO, salt: B256::ZERO };
    let zero = scene.world.pay_call(CHANNELS, scene.client, 0, &open(scene.worker));
    assert_eq!(zero, Err(reverts(IChannels::ZeroDeposit {})));
    for worker in [Address::ZERO, ADDRESS] {
        let refused = scene.world.pay_call(CHANNELS, scene.client, COIN, &open(worker));
        assert_eq!(refused, Err(reverts(IChannels::ZeroWorker {})));
    }
}

#[test]
fn a_deposit_beyond_128_bits_is_refused() {
    let mut scene = scene();
    let rich = Address::repeat_byte(9);
    scene.world.balances.insert(rich, U256::MAX >> 1);
    let open = IChannels::openCall { worker: scene.worker, signer: Address::ZERO, salt: B256::ZERO };
    let input = alloy_sol_types::SolCall::abi_encode(&open);
    let too_large = Err(reverts(IChannels::DepositTooLarge {}));
    assert_eq!(scene.world.send(CHANNELS, rich, U256::from(u128::MAX) + U256::ONE, &input), too_large);
    let top_up = IChannels::topUpCall { channelId: scene.id };
    assert_eq!(scene.world.pay_call(CHANNELS, rich, u128::MAX, &top_up).map(|_| ()), too_large.map(|_| ()));
}

#[test]
fn topping_up_needs_coin_and_an_open_channel() {
    let mut scene = scene();
    let top_up = |channel| IChannels::topUpCall { channelId: channel };
    let zero = scene.world.pay_call(CHANNELS, scene.client, 0, &top_up(scene.id)).map(|_| ());
    assert_eq!(zero, Err(reverts(IChannels::ZeroDeposit {})));
    let unknown = scene.world.pay_call(CHANNELS, scene.client, 1, &top_up(SALT)).map(|_| ());
    assert_eq!(unknown, Err(reverts(IChannels::UnknownChannel { channelId: SALT })));
}

#[test]
fn the_client_gets_the_rest_after_grace_and_not_before() {
    let mut scene = scene();
    scene.settle(4 * COIN).unwrap();
    assert_eq!(scene.close(scene.client), Err(reverts(IChannels::GraceRunning { closeAt: 0 })));
    scene.request_close(scene.client).unwrap();
    let close_at = scene.world.now + GRACE_S;
    let requested: IChannels::CloseRequested = scene.world.last();
    assert_eq!(requested.closeAt, close_at);
    assert_eq!(
        scene.request_close(scene.client),
        Err(reverts(IChannels::CloseAlreadyRequested { closeAt: close_at }))
    );
    scene.world.now = close_at - 1;
    assert_eq!(scene.close(scene.client), Err(reverts(IChannels::GraceRunning { closeAt: close_at })));
    // The worker may still claim what it was promised.
    scene.settle(5 * COIN).unwrap();
    scene.world.now = close_at;
    scene.close(scene.client).unwrap();
    assert_eq!(
        scene.world.last::<IChannels::Closed>(),
        IChannels::Closed { channelId: scene.id, worker: scene.worker, paid: 0, refunded: 5 * COIN }
    );
    assert_eq!(scene.world.balance(scene.client), U256::from(95 * COIN));
    assert_eq!(scene.world.balance(scene.worker), U256::from(5 * COIN));
    assert_eq!(scene.module_balance(), U256::ZERO);
}

#[test]
fn only_the_client_closes() {
    let mut scene = scene();
    let worker = scene.worker;
    let not_client = Err(reverts(IChannels::NotClient { caller: worker }));
    assert_eq!(scene.request_close(worker), not_client);
    scene.request_close(scene.client).unwrap();
    scene.world.now += GRACE_S;
    assert_eq!(scene.close(worker), not_client);
}

#[test]
fn the_worker_closes_with_a_last_voucher() {
    let mut scene = scene();
    let signature = voucher(scene.client_key, scene.id, 6 * COIN);
    scene.close_by_worker(scene.worker, 6 * COIN, signature).unwrap();
    let closed: IChannels::Closed = scene.world.last();
    assert_eq!((closed.worker, closed.paid, closed.refunded), (scene.worker, 6 * COIN, 4 * COIN));
    let record = scene.record();
    assert!(!record.open);
    assert_eq!(record.settled, 6 * COIN);
    assert_eq!(scene.module_balance(), U256::ZERO);
}

#[test]
fn the_worker_closes_without_a_voucher_only_at_what_is_settled() {
    let mut scene = scene();
    scene.settle(COIN).unwrap();
    let stale = Err(reverts(IChannels::StaleVoucher { settled: COIN, cumulative: 0 }));
    assert_eq!(scene.close_by_worker(scene.worker, 0, Bytes::new()), stale);
    let unsigned = scene.close_by_worker(scene.worker, 2 * COIN, Bytes::new());
    assert_eq!(unsigned, Err(reverts(IChannels::BadSignature {})));
    let not_worker = Err(reverts(IChannels::NotWorker { caller: scene.client }));
    assert_eq!(scene.close_by_worker(scene.client, COIN, Bytes::new()), not_worker);
    scene.close_by_worker(scene.worker, COIN, Bytes::new()).unwrap();
}

#[test]
fn a_closed_channel_does_nothing_more() {
    let mut scene = scene();
    scene.close_by_worker(scene.worker, 0, Bytes::new()).unwrap();
    let closed = Err(reverts(IChannels::ChannelClosed { channelId: scene.id }));
    assert_eq!(scene.settle(COIN), closed);
    assert_eq!(scene.request_close(scene.client), closed);
    assert_eq!(scene.close(scene.client), closed);
    assert_eq!(scene.close_by_worker(scene.worker, 0, Bytes::new()), closed);
    let top_up = IChannels::topUpCall { channelId: scene.id };
    assert_eq!(scene.world.pay_call(CHANNELS, scene.client, 1, &top_up).map(|_| ()), closed);
}

#[test]
fn an_unknown_channel_is_refused_everywhere() {
    let mut scene = scene();
    scene.id = B256::repeat_byte(0xee);
    let unknown = Err(reverts(IChannels::UnknownChannel { channelId: scene.id }));
    assert_eq!(scene.settle(COIN), unknown);
    assert_eq!(scene.request_close(scene.client), unknown);
    assert_eq!(scene.close(scene.client), unknown);
    assert_eq!(scene.close_by_worker(scene.worker, 0, Bytes::new()), unknown);
    let call = IChannels::channelCall { channelId: scene.id };
    assert_eq!(scene.world.call(CHANNELS, scene.client, &call).map(|_| ()), unknown);
}

#[test]
fn a_clock_at_its_end_cannot_start_a_close() {
    let mut scene = scene();
    scene.world.now = u64::MAX;
    let refused = Err(reverts(IChannels::GraceRunning { closeAt: u64::MAX }));
    assert_eq!(scene.request_close(scene.client), refused);
}

#[test]
fn coin_sent_to_a_method_that_takes_none_is_refused() {
    let mut scene = scene();
    let call = IChannels::requestCloseCall { channelId: scene.id };
    let refused = scene.world.pay_call(CHANNELS, scene.client, 1, &call).map(|_| ());
    assert_eq!(refused, Err(reverts(IModule::NotPayable {})));
}

/// Coin cannot go missing from the module; should it ever, settling stops instead of inventing some.
#[test]
fn a_module_without_coin_pays_nothing() {
    let mut scene = scene();
    scene.world.balances.insert(ADDRESS, U256::ZERO);
    let before = scene.world.clone();
    assert_eq!(scene.settle(COIN), Err(Failure::Halt(HostError::Payment)));
    assert_eq!(scene.world, before);
}

#[test]
fn a_voucher_counts_after_grace_until_the_channel_is_closed() {
    let mut scene = scene();
    scene.request_close(scene.client).unwrap();
    scene.world.now += 2 * GRACE_S;
    scene.settle(COIN).unwrap();
    scene.close(scene.client).unwrap();
    assert_eq!(scene.world.balance(scene.worker), U256::from(COIN));
}

#[test]
fn at_every_gas_limit_it_either_works_or_leaves_nothing() {
    let base = scene();
    let signature = voucher(base.client_key, base.id, COIN);
    let call = IChannels::settleCall { channelId: base.id, cumulative: COIN, signature };
    let mut succeeded = false;
    for gas in (0..40_000).step_by(97) {
        let mut world = base.world.clone();
        world.gas = gas;
        let untouched = world.clone();
        match world.call(CHANNELS, base.worker, &call) {
            Ok(_) => succeeded = true,
            Err(failure) => {
                assert!(!succeeded, "more gas made it fail");
                assert_eq!(failure, Failure::Halt(HostError::OutOfGas));
                assert_eq!(world, untouched);
            }
        }
    }
    assert!(succeeded);
}
