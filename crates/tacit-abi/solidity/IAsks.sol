// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// What workers ask for serving models, at 0x7ac1700000000000000000000000000000000007.
interface IAsks {
    /// What one worker asks for one model in one mode. `price` is of a request, whatever it takes; the other two of a token.
    /// `capacity` is how many requests it says it serves at once, `validUntil` (Unix seconds) when the ask ends by itself.
    /// `sealingKey` is the key, or the hash of the key, that requests are sealed to.
    struct Terms {
        uint8 privacy;
        uint8 evidence;
        uint128 price;
        uint128 promptPrice;
        uint128 completionPrice;
        uint32 capacity;
        uint64 validUntil;
        bytes32 sealingKey;
        string endpoint;
    }

    /// An ask with what backs it: `bonded` is the worker's stake now, `asks` how many asks share it, `lastBeat` (Unix seconds) when the worker was last there.
    struct Ask {
        address worker;
        uint128 bonded;
        uint32 asks;
        uint64 lastBeat;
        Terms terms;
    }

    /// When a worker was there, by its own transactions. `since` (Unix seconds) is when the hour of its first beat began, `lastBeat` when the last one came.
    /// Of the last 160 hours, those since its first are `covered`, and in `beaten` of them it beat; the hour that runs is covered once it was beaten in.
    /// All zero: it never beat.
    struct Liveness {
        uint64 since;
        uint64 lastBeat;
        uint32 covered;
        uint32 beaten;
    }

    /// What a worker sells prepaid tokens under. `keyHash` is the RFC 9578 key id of its token key (SHA-256 of the public key's encoding), `price` what a token
    /// of it pays for, `since` (Unix seconds) when it was set. The key before it is good until `previousUntil`. All zero: the worker sells none.
    struct Tokens {
        bytes32 keyHash;
        uint128 price;
        uint64 since;
        bytes32 previousKeyHash;
        uint128 previousPrice;
        uint64 previousUntil;
    }

    event AskSet(bytes32 indexed modelId, address indexed worker, uint8 privacy, uint8 evidence, uint128 price, uint128 promptPrice, uint128 completionPrice);
    event AskRemoved(bytes32 indexed modelId, address indexed worker, uint8 privacy, uint8 evidence);

    event TokensSet(address indexed worker, bytes32 keyHash, uint128 price);

    error UnknownModel(bytes32 modelId);
    error BadMode(uint8 privacy, uint8 evidence);
    error BadEndpoint();
    error BadValidity(uint64 earliest, uint64 latest);
    error TooLittleStake(uint128 bonded, uint128 needed);
    error NoSuchAsk();
    error StillBacked();
    error PageTooLong(uint32 limit);
    error BadTokens();
    error TokensTooSoon(uint64 earliest);
    error BeatTooSoon(uint64 earliest);

    /// Sets or replaces the caller's ask for (model, privacy, evidence). Endpoint: 1 to 128 visible ASCII characters.
    /// Each ask needs ASK_STAKE of the caller's stake. The first in an hour counts as a beat.
    function set(bytes32 modelId, Terms calldata terms) external;
    function remove(bytes32 modelId, uint8 privacy, uint8 evidence) external;
    /// Removes somebody's ask that has ended, or that its worker's stake no longer backs.
    function prune(bytes32 modelId, address worker, uint8 privacy, uint8 evidence) external;

    /// Sells tokens under another key from now on. The caller's key before it stays good for TOKENS_KEPT_S; until that time is over, no other is set.
    function setTokens(bytes32 keyHash, uint128 price) external;

    /// The caller is there. Refused in an hour of the clock (a 3600th of Unix seconds) in which it has said so already. Readers leave out asks whose worker
    /// has been silent for LIVE_S.
    function beat() external;

    function count(bytes32 modelId) external view returns (uint64);
    /// Asks number `from` up to `from + limit`, in an order that removals change; `limit` is at most 64.
    function page(bytes32 modelId, uint64 from, uint32 limit) external view returns (Ask[] memory);
    function ask(bytes32 modelId, address worker, uint8 privacy, uint8 evidence) external view returns (Ask memory);
    function tokens(address worker) external view returns (Tokens memory);
    function livenessOf(address worker) external view returns (Liveness memory);
}
