"""Synthetic posts with the length distribution of real board posts: median 20 characters, 95th percentile 80."""

import math
import random
from typing import Final

_MEDIAN: Final = 20.0
_SIGMA: Final = math.log(80 / 20) / 1.645  # log-normal through both quantiles
_PHRASES: Final = (
    "今日は 電車が 遅れて 駅で ずっと 待ってた それな 草 まじで 推しの 新曲が 良すぎた 昨日の 試合 すごかった ね "
    "なんで あの 店員さん 親切 だった 値段が 高い けど おいしい 明日 早起き しないと 眠い 猫が かわいい 雨 やばい "
    "仕事 終わらない 助けて 笑った ありがとう 監督の 采配が ひどい 先生に 怒られた 宿題 忘れた ゲーム 楽しい"
).split()


def generate(count: int, seed: int = 7) -> list[str]:
    """`count` posts, the same for the same seed."""
    rng = random.Random(seed)
    posts = []
    for _ in range(count):
        length = max(2, min(400, round(math.exp(rng.gauss(math.log(_MEDIAN), _SIGMA)))))
        text = ""
        while len(text) < length:
            text += rng.choice(_PHRASES)
        posts.append(text[:length])
    return posts
