// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Disputes about answers whose evidence is `audited`, at 0x7ac1700000000000000000000000000000000008.
///
/// A worker's receipt commits to the trace of its run: a Merkle tree over every value of every operator. Whoever knows of a wrong value in it takes
/// the worker's stake with `convict`. Whoever only knows that the worker's tree is not the one that it computed itself finds the value with
/// `challenge`: the worker reveals hashes (`reveal`), the challenger follows those that differ (`choose`), until a tile is known (`revealTile`).
interface IAudits {
    /// The worker's account of a job, as it is signed (EIP-712, see `Tacit Receipts`).
    struct Receipt {
        bytes32 jobId;
        bytes32 modelId;
        bytes32 channelId;
        address client;
        address worker;
        uint8 privacy;
        uint8 evidence;
        bytes32 inputCommitment;
        bytes32 outputCommitment;
        bytes32 evidenceHash;
        uint128 price;
        uint128 cumulative;
        uint64 completedAt;
    }

    /// A receipt with its worker's signature, and the salt that opens `evidenceHash` to the root of the trace.
    struct SignedReceipt {
        Receipt receipt;
        bytes signature;
        bytes32 evidenceSalt;
    }

    /// Tiles of a tree, ascending, and the siblings that lead from them to its root.
    struct Opening {
        bytes tiles;
        bytes32[] siblings;
    }

    /// A challenge. `turn`: 1 the worker reveals, 2 the challenger chooses, 3 the challenger has the receipt convicted, 4 it was right, 5 it was not.
    /// The disputed node is number `index`, from the left, `level` steps above the leaves.
    struct Challenge {
        bytes32 receipt;
        address challenger;
        address worker;
        uint8 turn;
        uint64 deadline;
        uint32 leaves;
        uint8 level;
        uint32 index;
        bytes32 node;
    }

    /// How much of a worker's stake is spoken for. `period` is the current one, until `endsAt` (Unix seconds); `taken` is what covers of it and of the one
    /// before add up to, of at most `limit`.
    struct Exposure {
        uint64 period;
        uint64 endsAt;
        uint128 taken;
        uint128 limit;
    }

    /// What the auditor says of a receipt, as it is signed (EIP-712, `Verdict` of `Tacit Audits`): it was asked the same and came to the same trace, for which it signed the receipt
    /// with the digest `own`.
    struct SignedVerdict {
        address auditor;
        bytes32 own;
        bytes signature;
    }

    /// What audits say of a worker: how many it has passed since the last conviction, when it passed the last one and when it was convicted last (Unix seconds; zero for never).
    struct History {
        uint32 passed;
        uint64 passedAt;
        uint64 convictedAt;
    }

    event WeightsRegistered(bytes32 indexed modelId, bytes32 root);
    event Challenged(bytes32 indexed id, bytes32 indexed receipt, address indexed worker, address challenger, uint32 leaves, bytes32 top, uint64 deadline);
    event Revealed(bytes32 indexed id, bytes32[] children, uint64 deadline);
    event Chosen(bytes32 indexed id, uint8 level, uint32 index, uint64 deadline);
    event TileRevealed(bytes32 indexed id, bytes tile, uint64 deadline);
    event Convicted(bytes32 indexed receipt, address indexed worker, address indexed reporter, uint128 taken);
    event Settled(bytes32 indexed id, address indexed winner);
    event Covered(bytes32 indexed channelId, address indexed worker, uint64 period, uint128 amount, uint128 covered);
    event Passed(bytes32 indexed receipt, address indexed worker, address indexed auditor);

    error UnknownModel(bytes32 modelId);
    error NotOwner(address caller);
    error AlreadyRegistered(bytes32 modelId);
    error ZeroRoot();
    error NotAudited(uint8 privacy, uint8 evidence);
    error BadSignature();
    /// The salt and the trace are not what the receipt's `evidenceHash` commits to.
    error BadOpening();
    error AlreadyConvicted(bytes32 receipt);
    error NotAGraph();
    /// Graph and weight root are those of another model.
    error WrongModel(bytes32 modelId);
    /// The conviction is refused by the check of this name.
    error Rejected(string check);
    error UnregisteredWeights(bytes32 modelId);
    /// The weights are not in the tree that was registered.
    error WrongWeights();
    error WrongBond(uint128 bond);
    error LeafCount(uint32 limit);
    error TooLate(uint64 until);
    error NothingAtStake();
    error AlreadyChallenged(bytes32 id);
    error UnknownChallenge(bytes32 id);
    error WrongTurn(uint8 turn);
    error NotChallenger(address challenger);
    error DeadlinePassed(uint64 deadline);
    /// What was revealed is not under the disputed node.
    error NotUnder();
    error NoSuchChild(uint8 count);
    error TileTooLong(uint32 limit);
    error StillOpen(uint64 deadline);
    error NoSuchChannel(bytes32 channelId);
    error NotChannelWorker(address worker);
    error NothingToCover();
    /// The worker's stake covers only so much more.
    error TooLittleRoom(uint128 room);
    error AlreadyPassed(bytes32 receipt);
    /// By its own account the receipt is no later than the worker's last conviction.
    error BeforeConviction(uint64 convictedAt);
    error NotAnchored(bytes32 root);
    /// Somebody else than the receipt's worker anchored the root.
    error WrongAnchor(address worker);
    error PathTooLong(uint32 limit);
    /// The receipt is not in the batch with this root.
    error NotIncluded(bytes32 root);
    /// The beacon of the block in which the root was anchored is not posted.
    error NoBeacon(uint64 number);
    /// Less is bonded for the worker than one ask needs.
    error TooLittleStake(uint128 bonded, uint128 needed);
    /// The beacon does not select the receipt, at this probability in steps of 2^-32.
    error NotSelected(uint64 probability);
    /// The auditor is the worker or the client.
    error NotIndependent(address auditor);
    error BadVerdict();
    /// The auditor has no live ask for the model in the mode of the receipt.
    error NoAsk(address auditor);

    /// Fixes, once, the root of the tree over a model's weights. Only the model's owner may.
    function registerWeights(bytes32 modelId, bytes32 root) external;
    /// Zero while none is registered.
    function weightsOf(bytes32 modelId) external view returns (bytes32 root);

    /// Shows that element `element` of node `node` is not what follows from what it reads in the worker's own trace, or that `tile`, which should hold it,
    /// has another length than it must; takes the worker's stake. `graph` may be empty if the model is registered with `proofs`.
    function convict(SignedReceipt calldata signed, bytes calldata graph, bytes32 weightRoot, uint32 node, uint32 element, bytes calldata tile, Opening calldata trace, Opening calldata weights) external;

    /// Disputes a receipt's trace, whose tree has so many leaves and this top node. The value sent must be CHALLENGE_BOND.
    function challenge(SignedReceipt calldata signed, uint32 leaves, bytes32 top) external payable returns (bytes32 id);
    /// The up to 16 nodes four levels below the disputed one. Anyone may, for the worker.
    function reveal(bytes32 id, bytes32[] calldata children) external;
    /// Goes on with one of the nodes just revealed, which are given once more.
    function choose(bytes32 id, bytes32[] calldata children, uint8 child) external;
    /// The tile of the disputed leaf. Anyone may, for the worker.
    function revealTile(bytes32 id, bytes calldata tile) external;
    /// Ends a challenge whose receipt is convicted, or whose deadline has passed: against the worker on its turn, against the challenger on its.
    function settle(bytes32 id) external;

    /// Speaks for `amount` more of the caller's stake, for audited answers that are paid over this channel to it in the current period.
    /// All that a worker speaks for in two periods in a row is at most a fixed part of what it has bonded.
    function cover(bytes32 channelId, uint128 amount) external;
    /// For how much of what is paid over a channel for audited answers in a period (of PERIOD_S seconds, from 1970) its worker's stake speaks.
    function coverOf(bytes32 channelId, uint64 period) external view returns (uint128);
    function exposureOf(address worker) external view returns (Exposure memory);
    /// Keeps, once, that the receipt passed an audit: the beacon of the block in which its batch was anchored selects it, and another worker of the model, with
    /// stake, was asked the same and came to the same trace. Anyone may. Nothing else about the audit is checked here.
    function pass(Receipt calldata receipt, bytes calldata signature, bytes32 root, bytes32[] calldata siblings, SignedVerdict calldata verdict) external;
    function historyOf(address worker) external view returns (History memory);

    function challengeOf(bytes32 id) external view returns (Challenge memory);
    /// Whether a stake was taken for the receipt with this EIP-712 digest.
    function isConvicted(bytes32 receipt) external view returns (bool);
}
