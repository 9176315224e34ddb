"""OpenAI's own client against a server of ours: URL MODEL, the token in OPENAI_API_KEY. Exits 0 only if all holds."""

import math
import sys

import openai

url, model = sys.argv[1:]
client = openai.OpenAI(base_url=url, max_retries=0)
prompt = "Ticket: I lost my card\nIntent:"

# Models.
names = [entry.id for entry in client.models.list()]
assert names == [model, f"{model}@1"], names
assert client.models.retrieve(model).id == model

# Chat, whole and streamed: the same text by greedy decoding, and headers that name version and position.
messages = [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "What is the capital of France?"}]
raw = client.chat.completions.with_raw_response.create(model=model, messages=messages, temperature=0, max_tokens=12)
assert raw.headers["x-attestune-version"] == f"{model}@1" and int(raw.headers["x-attestune-position"]) > 0
chat = raw.parse()
text = chat.choices[0].message.content
assert chat.choices[0].message.role == "assistant" and text and chat.usage.completion_tokens > 0
stream = client.chat.completions.create(
    model=model, messages=messages, temperature=0, max_tokens=12, stream=True, stream_options={"include_usage": True}
)
chunks = list(stream)
pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
assert "".join(pieces) == text, (pieces, text)
assert len(pieces) > 2, "a stream comes in pieces"
assert chunks[-1].usage == chat.usage
thoughtful = client.chat.completions.create(
    model=model, messages=messages, temperature=0, max_tokens=4, logprobs=True, top_logprobs=3
)
for entry in thoughtful.choices[0].logprobs.content:
    assert len(entry.top_logprobs) == 3 and entry.top_logprobs[0].logprob == entry.logprob
    assert bytes(entry.bytes).decode("utf-8", "replace") == entry.token

# The same seed, the same choices; another one, others.
def sampled(seed):
    answer = client.completions.create(model=model, prompt=prompt, max_tokens=24, temperature=1, top_p=0.95, seed=seed)
    return answer.choices[0].text

assert sampled(7) == sampled(7)
assert len({sampled(seed) for seed in range(4)}) > 1

# Completions with log-probabilities: an echo puts those of the prompt before the same of the answer.
asked = {"model": model, "prompt": prompt, "max_tokens": 6, "temperature": 0, "logprobs": 2}
choice = client.completions.create(**asked).choices[0]
said = choice.logprobs.token_logprobs
assert all(chosen == max(top.values()) for chosen, top in zip(said, choice.logprobs.top_logprobs))
echoed = client.completions.create(**asked, echo=True).choices[0]
assert echoed.text == prompt + choice.text and echoed.logprobs.token_logprobs[0] is None
for mine, again in zip(said, echoed.logprobs.token_logprobs[-len(said):], strict=True):
    assert math.isclose(mine, again, abs_tol=1e-4), (said, echoed.logprobs.token_logprobs)
assert "".join(echoed.logprobs.tokens).removesuffix("<|im_end|>") == echoed.text
alone = client.completions.create(**{**asked, "max_tokens": 0}, echo=True).choices[0]
assert alone.text == prompt
assert alone.logprobs.token_logprobs == echoed.logprobs.token_logprobs[: len(alone.logprobs.tokens)]
stopped = client.completions.create(model=model, prompt=prompt, max_tokens=40, temperature=0, stop=["\n", "_"])
assert stopped.choices[0].finish_reason == "stop" and "_" not in stopped.choices[0].text

# Errors are the client's own exceptions.
def raises(kind, code, **request):
    try:
        client.completions.create(**{"model": model, "prompt": prompt, **request})
    except kind as error:
        assert error.body["code"] == code, error.body
        return
    raise AssertionError(f"{kind.__name__} was expected")

raises(openai.NotFoundError, "model_not_found", model="nobody")
raises(openai.BadRequestError, "context_length_exceeded", max_tokens=1_000_000)
raises(openai.BadRequestError, "unsupported_parameter", n=2)
try:
    client.with_options(api_key="sk-wrong").models.list()
    raise AssertionError("a wrong key is no key")
except openai.AuthenticationError as error:
    assert error.body["code"] == "invalid_api_key"
print(f"openai {openai.__version__} agrees: models, chat, streaming, completions with log-probabilities, errors")
