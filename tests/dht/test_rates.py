"""Token buckets: what may be taken, and what stays for who waits."""

from p2pd.dht.rates import TokenBucket, TokenBuckets


def test_a_bucket_gives_what_it_holds_and_fills_with_time() -> None:
    bucket = TokenBucket(2, 4)
    assert [bucket.take(0) for _ in range(5)] == [True] * 4 + [False]
    assert [bucket.take(1) for _ in range(3)] == [True, True, False]


def test_what_is_spared_is_left_for_others() -> None:
    buckets: TokenBuckets[str] = TokenBuckets(1, 6)
    assert [buckets.take("one", 0, spare=2) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [buckets.take("one", 0) for _ in range(3)] == [True, True, False]
    assert not buckets.take("one", 2, spare=2)
    assert buckets.take("one", 3, spare=2)
