"""Python's peft loads an adapter that Attestune trained, and its logits agree with ours.

    peft_agrees.py check OUT ADAPTER     compare; exits 1 on disagreement
    peft_agrees.py save ADAPTER TO BASE  load with peft and save again, for the way back

OUT is what the example `logits` of attestune-trainer wrote. Both sides compute in f32, but add in
another order: a logit (they range over some tens) may differ by at most TOLERANCE.
"""

import json
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

TOLERANCE = 5e-4
# The adapter must do something, else its agreement would show nothing.
LEAST_EFFECT = 0.5


def load(base, adapter):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    return PeftModel.from_pretrained(model, adapter).eval()


def check(out, adapter):
    texts = json.load(open(f"{out}/texts.json", encoding="utf-8"))
    ours = load_file(f"{out}/logits.safetensors")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{out}/base/tokenizer.json")
    model = load(f"{out}/base", adapter)

    failures = [] if texts else ["there were no texts to compare"]
    for i, text in enumerate(texts):
        tokens = tokenizer(text, return_tensors="pt").input_ids
        if tokens[0].tolist() != ours[f"tokens.{i}"].tolist():
            failures.append(f"text {i}: the tokens differ")
            continue
        with torch.no_grad():
            adapted = model(tokens).logits[0]
            with model.disable_adapter():
                base = model(tokens).logits[0]
        effect = (adapted - base).abs().max().item()
        if effect < LEAST_EFFECT:
            failures.append(f"text {i}: the adapter moves no logit by {LEAST_EFFECT}")
        for name, theirs in (("base", base), ("adapted", adapted)):
            mine = ours[f"{name}.{i}"]
            difference = (mine - theirs).abs().max().item()
            print(f"text {i} ({tokens.shape[1]} tokens), {name}: at most {difference:.1e} apart, "
                  f"logits {theirs.min():.1f} to {theirs.max():.1f}, adapter moves up to {effect:.1f}")
            if not difference <= TOLERANCE:
                failures.append(f"text {i}, {name}: {difference} is more than {TOLERANCE}")
            if not torch.equal(mine.argmax(-1), theirs.argmax(-1)):
                failures.append(f"text {i}, {name}: another token is the likeliest")
    for failure in failures:
        print("DISAGREE:", failure)
    return 1 if failures else 0


def save(adapter, to, base):
    load(base, adapter).save_pretrained(to)
    return 0


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    sys.exit({"check": check, "save": save}[command](*arguments))
