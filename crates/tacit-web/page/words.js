// What the words mean, one line each.

export const PRIVACY = {
  sealed: "Only the worker that computes can read your question.",
  encrypted: "Nobody can read it: the worker computes on ciphertext.",
  clear: "Anyone on the path can read it.",
  enclave: "Only attested hardware can read it.",
  shared: "No one of three parties can read it.",
};

export const EVIDENCE = {
  proved: "A zero-knowledge proof that this very model gave this answer. Checked here before you pay.",
  audited: "Runs are done again at random; a worker that is caught loses its stake.",
  signed: "The worker says so, and signs for it.",
  attested: "A hardware quote over image, model and key.",
};

/** What an audited answer under encryption is: another thing than a stake. */
export const AUDITED_ENCRYPTED = "Questions with known answers are hidden among yours; they cost extra.";

export const STAGES = [
  ["found", "Found a worker", "The cheapest ask on the ledger, and its model has the id that it should."],
  ["channel", "Channel ready", "One deposit; afterwards each answer is paid by a signature, without a transaction."],
  ["sealed", "Sealed", "Your question is encrypted to the worker, signed, and kept here first."],
  ["sent", "Sent", "From here on the worker works."],
  ["run", "Run", "The worker ran the model, as exact integers."],
  ["proved", "Proved", "The worker proved that run in zero knowledge."],
  ["received", "Received", "The answer came back sealed, and opens."],
  ["verified", "Verified", "Receipt, commitments and proof are checked against your own question."],
  ["paid", "Paid", "Only now a voucher is signed, for the agreed price."],
  ["anchored", "Anchored", "A block of the ledger holds the receipt's batch."],
];

export const CHECKS = {
  model: ["Model", "Graph and weight root, or a language model's manifest, give the model id on the receipt."],
  signature: ["Signature", "The worker that the receipt names has signed it."],
  input: ["Question", "The salted commitment opens to this question."],
  output: ["Answer", "The salted commitment opens to this answer."],
  evidence: ["Evidence", "The whole receipt, offline: every field, every commitment, and the proof; of a language model, every token."],
  path: ["Merkle path", "The path leads from the receipt to the root of its batch."],
  anchor: ["Anchor", "The ledger has anchored that root."],
};

export const FIELDS = [
  ["jobId", "Job", "Name of the request; asking again with it pays once."],
  ["modelId", "Model id", "Hash of the graph and of the commitment to the weights: it cannot lie about what ran."],
  ["channelId", "Channel", "The deposit that pays for it."],
  ["client", "Client", "The account that asked and pays: yours."],
  ["worker", "Worker", "The account that answered, signed, and is paid."],
  ["inputCommitment", "Question commitment", "Binds the worker to your question; salted, so nobody can guess it from the receipt."],
  ["outputCommitment", "Answer commitment", "Binds the worker to its answer; salted too."],
  ["evidenceHash", "Evidence commitment", "Binds it to the proof, or to what a run can be done again with."],
  ["signature", "Signature", "By the worker, over all of the above (EIP-712: any wallet can check it)."],
];

/** What is another thing on a receipt of a language model. */
export const STREAM_FIELDS = {
  modelId: "Hash of the manifest, which names weights and tokenizer by their hashes.",
  inputCommitment: "Binds the worker to your request, byte for byte.",
  outputCommitment: "Binds the worker to its answer, byte for byte.",
  evidenceHash: "Binds it to its bill: the tokens that it counted, and its prices.",
};
