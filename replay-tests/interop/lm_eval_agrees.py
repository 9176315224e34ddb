"""A task of tickets for lm-eval and a suite of the same for our likelihood judge; and whether both choose alike.

prepare CSV FOLDER   writes intents.yaml (our suite), task.yaml and tickets.jsonl (lm-eval's task)
check FOLDER         compares ours.json with what lm-eval wrote
"""

import csv
import glob
import json
import sys

COUNT = 40
# Our judge adds the end token's probability to a label's; so that both judge the same, the task's choices end in it.
END = "<|im_end|>"
# lm-eval asks the served model, whose activations have 8 bits; our judge computes in f32. Choices that are nearer to one
# another than this, in nats, may come out either way.
MARGIN = 0.5


def prepare(path, folder):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))[:COUNT]
    labels = sorted({row["intent"] for row in rows})
    suite = ["name: intents", 'prompt_template: "Ticket: {prompt}\\nIntent:"', "cases:"]
    with open(f"{folder}/tickets.jsonl", "w") as file:
        for number, row in enumerate(rows):
            judge = {"label": {"expected": row["intent"], "labels": labels}}
            case = {"id": f"case-{number:02}", "category": "accuracy", "prompt": row["text"], "judge": judge}
            suite.append("  - " + json.dumps(case))
            choices = [f" {label}{END}" for label in labels]
            query = f"Ticket: {row['text']}\nIntent:"
            file.write(json.dumps({"query": query, "choices": choices, "gold": labels.index(row["intent"])}) + "\n")
    with open(f"{folder}/intents.yaml", "w") as file:
        file.write("\n".join(suite) + "\n")
    task = {
        "task": "intents",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{folder}/tickets.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{query}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "gold",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    # JSON is YAML, too.
    with open(f"{folder}/task.yaml", "w") as file:
        json.dump(task, file)


def check(folder):
    with open(f"{folder}/ours.json") as file:
        ours = {case["id"]: case for case in json.load(file)["cases"]}
    (path,) = glob.glob(f"{folder}/lm-eval/**/samples_intents_*.jsonl", recursive=True)
    with open(path) as file:
        samples = sorted(map(json.loads, file), key=lambda sample: sample["doc_id"])
    assert len(samples) == len(ours) == COUNT, (len(samples), len(ours))
    near = 0
    for sample in samples:
        logs = [float(answer[0][0]) for answer in sample["resps"]]
        labels = [choice.removesuffix(END).strip() for choice in sample["doc"]["choices"]]
        ranked = sorted(zip(logs, labels), reverse=True)
        judged = ours[f"case-{sample['doc_id']:02}"]["answer"].strip()
        if judged == ranked[0][1]:
            continue
        by_label = dict(zip(labels, logs))
        assert ranked[0][0] - by_label[judged] < MARGIN, (sample["doc_id"], judged, ranked)
        near += 1
    assert near <= COUNT // 10, f"{near} of {COUNT} differ, if only just"
    right = sum(case["passed"] for case in ours.values())
    print(f"lm-eval agrees: {COUNT - near} of {COUNT} choices are our judge's ({near} within {MARGIN} nats); {right} right")


if __name__ == "__main__":
    {"prepare": prepare, "check": check}[sys.argv[1]](*sys.argv[2:])
