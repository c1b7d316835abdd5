"""A batch for the night: one JSON object a line in, one result a line out.

    echo '{"agent_id": "Coder", "prompt": "Write a test"}' | python examples/night_batch.py

Each line is a request with the options of ``LLMClient.submit``. All are LOW, so anything else goes
first, and share one token budget. Started again with the same name, it finds its jobs and spends
nothing twice: the line is the idempotency key.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys

from producer import ApexError, LLMClient


def main() -> int:
    """Enqueues what stdin says and prints results in its order; 1 if any has failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--name", default="night", help="the episode's id")
    parser.add_argument("--tokens", type=int, default=100_000, help="the budget of all together")
    asked = parser.parse_args()

    failed = 0
    with LLMClient() as client:
        client.episode(asked.name, token_budget=asked.tokens)
        lines = [line.strip() for line in sys.stdin if line.strip()]
        requests = [
            {
                "priority": "LOW",
                **json.loads(line),
                "episode_id": asked.name,
                "idempotency_key": f"{asked.name}/{hashlib.sha256(line.encode()).hexdigest()}",
            }
            for line in lines
        ]
        for job in client.submit_many(requests):
            try:
                answer = {"job": job.id, "text": job.result().text}
            except ApexError as error:
                failed = 1
                answer = {"job": job.id, "error": str(error)}
            print(json.dumps(answer, ensure_ascii=False), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
