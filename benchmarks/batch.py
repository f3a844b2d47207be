"""Batch: events published a hundred at a time by POST /publish/batch, which only Courier has."""

from dataclasses import replace

from benchmarks.publish import PUBLISH, Shape

BATCH = replace(
    PUBLISH,
    name="batch",
    text="{channels} channels without subscribers; batches of {batch} events of {bytes} bytes for"
    " {seconds:g} s; closed loop of {publishers} keep-alive publishers; service tokens, rate limit and"
    " metrics on",
    shape=Shape(publishers=8, batch=100, seconds=4),
    servers=("courier",),
)

if __name__ == "__main__":
    BATCH.main()
