"""Signs that it may be now: how expressions are put together, and what the default's find and let be.

The tables hold what is needed to recognise a phrase and no more. Everything here is also said beside a flag: whether
somebody wishes to die is the classifier's to say, these tell only whether it may be now.
"""

from typing import Final

import pytest

from models.labels import LABEL_IDS
from models.normalize import plain
from workers import policy, signs
from workers.signs import Signs

DEFAULT: Final = policy.load(None, dict.fromkeys(LABEL_IDS, 0.5))

PLACE: Final = """
いま屋上にいる
屋上に着いた。風が冷たい
屋上まで来ちゃった
今、ビルの屋上。下は見ない
屋上の端っこ
ホームの端に立ってる
駅のホームの先まで来た
駅のホーム、一番前に立ってる
橋の上にいる。もういいかな
橋の真ん中にいます
橋まで歩いてきた
歩道橋の上で泣いてる、もう無理
崖のふちに座っています
崖の上。風つよい
踏切の前に立ってる
線路のそばまで来ました
ベランダの手すりに座ってる
ベランダの外側に立ってる
窓を開けて縁に座ってる
柵の外にいる
フェンスを越えた。こわくない
靴を脱いで揃えた
樹海に着いた
今夜、樹海に向かいます
ダムに着いたよ。誰もいない
川に来た。冷たそう
海に来た。もう帰らない
非常階段のいちばん上にいます
もう最上階まで上がってきた
死に場所に着きました
""".split("\n")

MEANS: Final = """
道具は買ってある
ロープを買った
縄、用意してあります
縄はもうかけてある
必要なものは全部そろった
必要なもの買い揃えた
包丁を握ってる
包丁が目の前にある
カッターを手に持ってる
薬をためてきた。もう足りる
目の前に薬を並べてる
死ぬ準備、終わりました
準備は全部できた
もう用意はできています
もう準備万端です
身辺整理終わりました
遺書を書き終えた
遺書は机の上に置いた
書き置きを残しました
""".split("\n")

BEGUN: Final = """
薬、全部飲んじゃった
薬はもう飲んだ
睡眠薬まとめて飲んだ
さっき薬をたくさん飲みました
薬飲みすぎた、手が震える
もう飲み終わった。ねむい
手首を切った。血が止まらない
手首から血が出てる、たくさん
切った。血が全然止まらない
もう首にかけた
首に縄をかけてる
意識がだんだん薄れてきた
意識なくなってきた
""".split("\n")

TIME: Final = """
22時に終わらせる
23:30に終わりにする
午前二時に終わりにする
２３時ちょうどに逝きます
深夜零時に決行します
夜中の三時に逝くつもり
あと一時間で楽になれる
あと10分でいなくなります
一時間後にはもういません
朝までに死ぬ
明け方に逝くことにしました
明日の朝、消えます
明日には もういない
明日はもうこの世にいません
明日になったら私はもう消えてるよ
今夜、消えます
今夜 死のうと思う
今夜、誰にも言わずに逝きます
今夜0時に。さよなら
こんや終わりにする
今晩みんなが寝たら逝くね
今夜で最後にします
今日で終わり。人生おしまい
今日、死にます
今日死ぬから、もう返信いらない
今日が命日になる
今日中に終わらせるつもり
きょうこそ死ぬ
これから死にに行く
今から飛びます
今から逝くね
今すぐ消えたい
このあと、いなくなるから
もうすぐ、いなくなります
まもなく旅立ちます
日付が変わったら死ぬ
夜が明けたら終わらせる
朝になる前に消えるね
今週末に決めた
今週いっぱいで全部おわらせます
今月いっぱいで終わりにする
金曜の夜に決行する
決行は金曜
土曜日、全部終わらせます
来週の月曜に死ぬことにした
来週の今日、私はもういない
誕生日に死ぬって決めた
クリスマスに死ぬって決めてる
死ぬ日を決めました
15日に逝く
飛ぶわ、明日
もう決めた。明日、逝く
疲れた。逝くわ
""".split("\n")

FAREWELL: Final = """
さよなら、みんな
さよなら…世界
さよなら、ありがとう、みんな
さようなら。お母さん
みんな、さよなら
じゃあね、みんな。元気で
ばいばい、みんなだいすき
さよなら
もう行くね。さようなら。
ごめんね、もう行くね
ごめんなさい、先に逝きます
今までありがとう、ございました
いままで、ほんとにありがとね
今まで仲良くしてくれてありがとう
これが最後の投稿です
最後の・つぶやき
これで最後。ありがとう
最後の夜です。ありがとう
お世話になりました。もう逝きます
もう思い残すことはない。行ってきます
先立つ不孝をお許しください
これを読む頃には、私はもういません
もう二度と目を覚ましません
永遠におやすみ
探さないでください
""".split("\n")

COMPANY: Final = """
今夜一緒に逝ける人いませんか
今夜来られる人
今夜はあと一人です
金曜の夜、車出せます。一緒に逝ける人
土曜の夜、二人で死んでくれる人
一緒に逝く人、場所は駅前で
一緒に死んでくれる人。明日の夜、駅で
週末に一緒に死んでくれる人
車あります、二人で行けます
道具はこちらで用意します、日時はDMで
薬あります、必要な人は連絡ください
日程は相談で決めましょう
集合場所は決めてあります
""".split("\n")

SPELLED: Final = [
    "今\u200b夜終わりにする",
    "今夜・終・わりにする",
    "ｺﾝﾔ終わりにする",
    "今夜タヒにます",
    "今 か ら 逝 く",
    "今夜\n\n終わりにする",
    "さ よ な ら、み ん な",
]

WISH: Final = """
消えたい
生きるのがつらい
もう限界です
死にたいけど死ねない
毎日死にたいと思う
今日も死にたい
今日は疲れた。死にたい
今日も一日がんばれなかった。消えたい
今夜も眠れない。つらい
今夜も泣いてる
明日が来なければいいのに
明日なんて来なければいい
明日から学校。死にたい
明日もまた同じ一日かと思うと消えたい
朝が来るのがこわい
夜になると消えたくなる
22時まで残業、もう消えたい
いつか死ぬなら早い方がいい
薬を飲んでもつらいまま
薬が増えた。しんどい
橋を渡るたびに苦しくなる
ホームで息が苦しくなる
屋上に行きたいとは思わなくなった
海を見ると少し落ち着く
リスカの跡を見られた
生きる準備ができていない
準備しなきゃいけないのに体が動かない
遺書なんて書く気力もない
最後に笑ったのいつだろう
さよならも言えずに別れた
""".split("\n")

IDIOM: Final = """
今日は死ぬほど笑った
明日は死ぬほど忙しい
今夜のライブ楽しみすぎて死ぬ
一緒に死ぬほど笑おう
これから死ぬほど食べる
今から寝る、死んだように寝る
今から飛行機で飛びます、沖縄！
22時に仕事が終わる
もうすぐ夏休みが終わる
明日で夏休みが終わる
今夜は鍋にします
今夜の夕飯何にしよう、決められない
準備運動が終わった
旅行の準備ができた
夕飯の用意ができた
明日の準備できた
会議の日程が決まった
集合場所は駅前で、遠足です
雨天決行です
さよならホームランで勝った
さよなら夏、また来年
青春にさよなら
最後の一個を食べた
これで最後のおかわり
今までありがとう、部活を引退します
卒業します、今までありがとう
もう行くね、遅刻する
道具を買ってDIYを始めた
包丁を買った、よく切れる
ロープウェイに乗った
カッターで段ボールを切った
練炭で鮎を焼いた
薬局で薬を買った
薬を飲んで寝る
薬を減らすことに決めた
牛乳を全部飲んだ
橋の工事が終わった
指を切った、絆創膏どこ
鼻血が止まらない
首にタオルをかけた
首が痛くて整体に来た
靴を脱いで部屋に上がった
意識が高い人たち
屋上ビアガーデンに来た
ホームシックで泣いてる
老人ホームに来た
海外にいる娘に会いたい
明日は学校にいない、遠足だから
""".split("\n")

STORY: Final = """
ゲームで屋上に着いた、敵が三人いる
このステージ、あと一分で死ぬ
敵に囲まれてあと十秒で死ぬ
ドラマの主人公が今夜死ぬらしい
映画で女の子が屋上に立ってる場面
推理小説で犯人が崖に立つ場面
小説の中で彼は薬を全部飲んだ
歌詞の「さよならみんな」が好き
曲名は「今夜終わりにする」
「今夜会いに行きます」という曲が好き
アニメの遺書を書く回で泣いた
""".split("\n")

PAST: Final = """
昔、薬を全部飲んだことがある
三年前、屋上に立っていた
十年前、屋上で先生に助けられた
去年の今ごろ、遺書を書いた
去年の冬、遺書まで書いたけど今は生きてる
高校の頃、橋の上にいた
以前、手首を切ったことがあります
あの日はロープを買ったけど、今は元気です
あのとき屋上で止めてくれた人へ
若い頃に一度、死ぬ日を決めたことがある
入院中に薬をためていたことがあります
""".split("\n")

OTHERS: Final = """
友達が「今夜消えます」と言っていて心配です
知人が薬を大量に飲んだと聞いて駆けつけた
姉が今夜消えるって言って出ていった、助けて
教え子が屋上にいると連絡を受けて走った
フォロワーさんが今夜死ぬって書いてる。どう通報すればいい？
ニュースで見た、屋上に立っていた人が保護された
「遺書を書いた」という投稿を見たら通報してください
「もう逝きます」と言われたら、どう返せばいい？
「さよなら」と送ってきた友人に電話した
亡くなった叔父の遺書が見つかった
""".split("\n")


def rows(*tables: list[str]) -> list[str]:
    return [line for table in tables for line in table if line]


IMMINENT: Final = rows(PLACE, MEANS, BEGUN, TIME, FAREWELL, COMPANY, SPELLED)
NOT_IMMINENT: Final = rows(WISH, IDIOM, STORY, PAST, OTHERS)


@pytest.mark.parametrize("text", IMMINENT)
def test_it_may_be_now(text: str) -> None:
    assert DEFAULT.imminent(plain(text).text)


@pytest.mark.parametrize("text", NOT_IMMINENT)
def test_it_is_not_now(text: str) -> None:
    assert not DEFAULT.imminent(plain(text).text)


def test_the_tables_are_broad() -> None:
    assert len(set(IMMINENT)) >= 120
    assert len(set(NOT_IMMINENT)) >= 100


@pytest.mark.parametrize("aside", [*rows(PAST, OTHERS, STORY)])
def test_what_is_no_sign_hides_none_that_stands_beside_it(aside: str) -> None:
    for text in (f"{aside}。今夜終わりにする", f"今から逝くね。{aside}", f"{aside}\n屋上に着いた"):
        assert DEFAULT.imminent(plain(text).text)


@pytest.mark.parametrize("number", range(len(DEFAULT.data.imminent_signs)))
def test_every_sign_is_needed(number: int) -> None:
    """Some phrase of the tables is found by it alone."""
    data = DEFAULT.data
    others = [sign for at, sign in enumerate(data.imminent_signs) if at != number]
    without = Signs(data.imminent_words, others, data.imminent_except)
    assert any(not without.seen_in(plain(text).text) for text in IMMINENT)


@pytest.mark.parametrize("number", range(len(DEFAULT.data.imminent_except)))
def test_every_exception_is_needed(number: int) -> None:
    data = DEFAULT.data
    others = [one for at, one in enumerate(data.imminent_except) if at != number]
    without = Signs(data.imminent_words, data.imminent_signs, others)
    assert any(without.seen_in(plain(text).text) for text in NOT_IMMINENT)


def test_every_word_is_used() -> None:
    data = DEFAULT.data
    used = {name for one in (*data.imminent_words.values(), *data.imminent_signs) for name in signs.names(one)}
    assert used == data.imminent_words.keys()


# -- how they are put together -----------------------------------------------------------------------------------------


def test_words_stand_for_their_pieces_and_counts_for_themselves() -> None:
    found = Signs({"now": "今夜|今", "soon": "{now}か|じき"}, ["{soon}.{0,2}逝", "a{2}"], [])
    assert found.expressions == ["(?:(?:今夜|今)か|じき).{0,2}逝", "a{2}"]
    assert [found.seen_in(text) for text in ("今かな逝", "じき逝", "aa", "a", "今夜逝")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_word_that_is_not_there_yet_is_named() -> None:
    for words in ({}, {"b": "{a}", "a": "x"}):
        with pytest.raises(KeyError, match="'a'"):
            _ = Signs(words, ["{a}"], []).expressions


def test_words_in_words_do_not_grow_without_bound() -> None:
    words = {"a": "x" * 9_000, "b": "{a}{a}", "c": "{b}{b}"}
    with pytest.raises(ValueError, match="characters"):
        _ = Signs(words, [], []).expressions


def test_a_sign_is_looked_for_with_and_without_blanks() -> None:
    found = Signs({}, ["今夜逝く", "good bye"], [])
    assert [found.seen_in(text) for text in ("今 夜\n逝 く", "good bye", "goodbye")] == [True, True, False]


def test_what_is_taken_out_joins_nothing_over_it() -> None:
    found = Signs({}, [r"今夜\W{0,9}逝", "今夜[^。]{0,9}逝"], ["昔[^。]*"])
    assert found.seen_in("今夜、逝")
    assert not found.seen_in("今夜、昔のこと。逝った")
    assert found.seen_in("昔のこと。今夜逝く")
