// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IProofs} from "../crates/tacit-abi/solidity/IProofs.sol";

/// Cover for one person: pays when the agreed model, run on a reading that the agreed laboratory signed, answers the agreed
/// label. The laboratory vouches for the measurements and for nothing else; what they mean is decided by the model both
/// sides named in advance, and a proof shows what it says. The insurer cannot refuse, the insured cannot pick a model.
///
/// The reading becomes public with the claim: inputs of proofs are public until they can be hidden.
contract DiagnosisCover {
    IProofs public constant PROOFS = IProofs(0x7aC1700000000000000000000000000000000004);

    bytes32 public immutable modelId;
    /// Index of the label that is paid for.
    uint32 public immutable label;
    address public immutable laboratory;
    address payable public immutable insured;
    address payable public immutable insurer;
    uint256 public immutable expires;
    bool public closed;

    event Paid(bytes32 indexed statement, uint256 amount);
    event Expired(uint256 amount);

    error NoSuchLabel(string label);
    error Closed();
    error NotSigned();
    error OneReading();
    error OtherAnswer(uint32 label);
    error NotExpired();
    error NotPaid();

    /// The insurer deploys and pays in the sum insured.
    constructor(bytes32 modelId_, string memory label_, address laboratory_, address payable insured_, uint256 expires_) payable {
        string[] memory labels = PROOFS.describe(modelId_).labels;
        uint32 index = 0;
        while (index < labels.length && keccak256(bytes(labels[index])) != keccak256(bytes(label_))) index++;
        if (index == labels.length) revert NoSuchLabel(label_);
        (modelId, label, laboratory) = (modelId_, index, laboratory_);
        (insured, insurer, expires) = (insured_, payable(msg.sender), expires_);
    }

    /// What the laboratory signs (EIP-191, version 0: data with an intended validator): this reading, for this cover.
    function readingHash(int64[] calldata reading) public view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1900", address(this), keccak256(abi.encode(block.chainid, reading))));
    }

    /// Anyone may bring a claim; the coin goes to the insured. `reading` is in units of 2^-24, `logits` and `proof` are what
    /// a worker answered.
    function claim(int64[] calldata reading, int32[] calldata logits, bytes calldata proof, uint8 v, bytes32 r, bytes32 s) external {
        if (closed) revert Closed();
        address signer = ecrecover(readingHash(reading), v, r, s);
        if (signer == address(0) || signer != laboratory) revert NotSigned();

        // Reverts unless the proof holds of exactly this model, these inputs and these outputs.
        uint32[] memory labels = PROOFS.answer(modelId, reading, logits, proof);
        if (labels.length != 1) revert OneReading();
        if (labels[0] != label) revert OtherAnswer(labels[0]);

        closed = true;
        uint256 amount = address(this).balance;
        emit Paid(keccak256(abi.encode(modelId, reading, logits)), amount);
        pay(insured, amount);
    }

    /// Gives the sum back once the cover has run out.
    function expire() external {
        if (closed) revert Closed();
        if (block.timestamp < expires) revert NotExpired();
        closed = true;
        uint256 amount = address(this).balance;
        emit Expired(amount);
        pay(insurer, amount);
    }

    function pay(address payable to, uint256 amount) private {
        (bool ok, ) = to.call{value: amount}("");
        if (!ok) revert NotPaid();
    }
}
