"""Give the teacher's knowledge a Japanese vocabulary: WordPiece over MeCab's words, embeddings averaged from pieces.

    Step 1  learn a WordPiece vocabulary on words of the corpora (fugashi + unidic-lite, lower case)
    Step 2  set each entry's embedding to the mean of the teacher's embeddings of its pieces
    Step 3  keep every second layer of the teacher

The result is a directory that `transformers` loads as BertModel + BertJapaneseTokenizer. It knows little before
models/distill.py has trained it.
"""

import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertConfig, BertModel

from models.normalize import plain
from models.teacher import Teacher
from models.tokenizer import JapaneseTokenizer

SPECIAL: Final = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY_SIZE: Final = 20_000  # × 384 × 2 bytes = 15 MB of the 40 MB that weights may take
_ALPHABET: Final = 4_500  # characters; each may cost two entries (first, ##inner)
_KEPT_LAYERS: Final = (1, 3, 5, 7, 9, 11)
_POSITIONS: Final = 512
# What evasion and boards use and sentence corpora lack.
_ALWAYS: Final = "死殺氏市誌タヒ夕0123456789ｗw草○◯〇×💀😂🤣😇😊🙏😭🔪💊🧂💢🖕👊🔥✨♡♥"


def learn_vocabulary(lines: Iterable[str], size: int = VOCABULARY_SIZE) -> list[str]:
    """Step 1."""
    splitter = JapaneseTokenizer(SPECIAL, lower_case=True)

    def words() -> Iterable[str]:
        for line in lines:
            yield " ".join(word.lower() for word, _, _ in splitter.words(plain(line).text))

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        limit_alphabet=_ALPHABET,
        initial_alphabet=sorted({unicodedata.normalize("NFKC", c) for c in _ALWAYS}),
        show_progress=False,
    )
    tokenizer.train_from_iterator(words(), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=lambda token: ids[token])


def student(teacher: Teacher, vocabulary: list[str]) -> BertModel:
    """Steps 2 and 3: a BertModel with a pooler, ready to be distilled."""
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=teacher.config.hidden_size,
        num_hidden_layers=len(_KEPT_LAYERS),
        num_attention_heads=teacher.config.num_attention_heads,
        intermediate_size=teacher.config.intermediate_size,
        max_position_embeddings=_POSITIONS,
        type_vocab_size=teacher.config.type_vocab_size,
        layer_norm_eps=teacher.config.layer_norm_eps,
        pad_token_id=vocabulary.index("[PAD]"),
    )
    model = BertModel(config)
    source = teacher.model
    with torch.no_grad():
        table = source.embeddings.word_embeddings.weight
        grown = torch.empty(len(vocabulary), config.hidden_size)
        stand_ins = {"[PAD]": 1, "[UNK]": 3, "[CLS]": 0, "[SEP]": 2}
        for i, token in enumerate(vocabulary):
            pieces = [stand_ins[token]] if token in stand_ins else teacher.pieces(token.removeprefix("##"))
            grown[i] = table[pieces or [3]].mean(0)
        model.embeddings.word_embeddings.weight.copy_(grown)
        model.embeddings.position_embeddings.weight.copy_(source.embeddings.position_embeddings.weight[:_POSITIONS])
        model.embeddings.token_type_embeddings.load_state_dict(source.embeddings.token_type_embeddings.state_dict())
        model.embeddings.LayerNorm.load_state_dict(source.embeddings.LayerNorm.state_dict())
        for kept, layer in zip(_KEPT_LAYERS, model.encoder.layer, strict=True):
            layer.load_state_dict(source.encoder.layer[kept].state_dict())
        torch.nn.init.eye_(model.pooler.dense.weight)
        torch.nn.init.zeros_(model.pooler.dense.bias)
    return model


def save_tokenizer(directory: Path, vocabulary: list[str]) -> None:
    """vocab.txt and tokenizer_config.json as `BertJapaneseTokenizer.from_pretrained` reads them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "word_tokenizer_type": "mecab",
        "subword_tokenizer_type": "wordpiece",
        "do_lower_case": True,
        "mecab_kwargs": {"mecab_dic": "unidic_lite"},
        "model_max_length": _POSITIONS,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
