"""The teacher's directory: fewer pieces, the same cuts, the same vectors. The teacher here is a tiny one."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertModel

from models import teacher_directory
from models.checkpoint import tokenizer
from models.teacher import Teacher

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "今", "日", "今日", "は", "雨", "天気", "いい", "▁今日", "使わない"]
TEXTS = ["今日は雨", "今日はいい天気"]


@pytest.fixture
def tiny() -> Teacher:
    torch.manual_seed(1)
    teacher = Teacher.__new__(Teacher)
    scored = [(piece, 0.0 if i < 4 else -float(5 - len(piece))) for i, piece in enumerate(PIECES)]
    teacher.tokenizer = Tokenizer(models.Unigram(scored, unk_id=3))
    teacher.tokenizer.normalizer = normalizers.NFKC()
    teacher.tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    teacher.config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        pad_token_id=1,
    )
    teacher.model = BertModel(teacher.config, add_pooling_layer=False).eval()
    return teacher


def test_texts_are_cut_and_read_as_before(tiny: Teacher, tmp_path: Path) -> None:
    kept = teacher_directory.kept_pieces(tiny, TEXTS)
    assert {PIECES[i] for i in set(range(len(PIECES))) - set(kept)} == {"今日", "使わない"}  # no text is cut into these
    teacher_directory.write(tiny, kept, tmp_path)
    theirs, student = tokenizer(tmp_path), BertModel.from_pretrained(str(tmp_path)).eval()
    for text in TEXTS:
        before, after = tiny.pieces(text), theirs.tokenize(text).ids
        assert [kept[i] for i in after] == before
        with torch.inference_mode():
            one = tiny.model(input_ids=torch.tensor([before])).last_hidden_state
            other = student(input_ids=torch.tensor([after])).last_hidden_state
        assert torch.allclose(one, other, atol=1e-5)
