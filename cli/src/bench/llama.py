"""llama.cpp at the same work, by the Python binding llama-cpp-python: `attestune bench serve` runs it.

MODEL THREADS STREAMS PROMPT TOKENS: each stream goes on from the prompt by the likeliest token, TOKENS times; the time
is that from the first of these to the last. One line of JSON on stdout.
"""

import ctypes
import json
import sys
import time

import llama_cpp as ll
import numpy as np


def main():
    model_path, threads, streams, prompt, tokens = sys.argv[1:]
    threads, streams, tokens = int(threads), int(streams), int(tokens)
    silent = ll.llama_log_callback(lambda *_: None)  # held by a name: llama.cpp calls it to the end
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(model_path.encode(), ll.llama_model_default_params())
    vocab = ll.llama_model_get_vocab(model)
    width = ll.llama_vocab_n_tokens(vocab)
    text = prompt.encode()
    buffer = (ll.llama_token * (len(text) + 8))()
    count = ll.llama_tokenize(vocab, text, len(text), buffer, len(buffer), True, True)
    prompt = list(buffer[:count])

    params = ll.llama_context_default_params()
    params.n_ctx = streams * (count + tokens + 8)
    params.n_batch = params.n_ubatch = max(512, streams)
    params.n_seq_max = streams
    params.n_threads = params.n_threads_batch = threads
    context = ll.llama_init_from_model(model, params)
    batch = ll.llama_batch_init(params.n_batch, 0, 1)

    def run(rows):
        """Rows of (token, position, stream, whether logits are wanted): the likeliest next token of those."""
        batch.n_tokens = len(rows)
        for i, (token, position, stream, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = stream, wanted
        assert ll.llama_decode(context, batch) == 0
        wanted = [i for i, row in enumerate(rows) if row[3]]
        logits = (np.ctypeslib.as_array(ll.llama_get_logits_ith(context, i), shape=(width,)) for i in wanted)
        return [int(row.argmax()) for row in logits]

    last = []
    for stream in range(streams):
        last += run([(token, i, stream, i == count - 1) for i, token in enumerate(prompt)])
    began = time.perf_counter()
    written = [[token] for token in last]
    for step in range(tokens - 1):
        last = run([(token, count + step, stream, True) for stream, token in enumerate(last)])
        for stream, token in enumerate(last):
            written[stream].append(token)
    seconds = time.perf_counter() - began
    print(json.dumps({"tokens": streams * (tokens - 1), "seconds": seconds, "first": written[0]}))


main()
