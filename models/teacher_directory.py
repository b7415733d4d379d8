"""The teacher as a Hugging Face directory, so that `mimamori train --base` can fine-tune it: the student's yardstick.

    python -m models.teacher_directory --corpus DIR --out DIR

Training only. Of the teacher's 250,037 pieces only those are kept that the corpora, the written posts or single
characters use: the texts are cut as before, and the optimizer has 85 million numbers fewer to carry. The prefix
`query: ` is left out, since fine-tuning sees to what it is for.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from models import corpora, data
from models.normalize import plain
from models.teacher import Teacher, packaged_file

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # the teacher's first four pieces, kept as they are
_SEED = 1


def kept_pieces(teacher: Teacher, texts: Iterable[str]) -> list[int]:
    """Ids of the special pieces, of single characters, and of what `texts` are cut into; ascending."""
    kept = set(range(len(_SPECIAL)))
    kept.update(i for piece, i in teacher.tokenizer.get_vocab().items() if len(piece) == 1)
    for text in texts:
        kept.update(teacher.pieces(plain(text).text))
    return sorted(kept)


def write(teacher: Teacher, kept: list[int], out: Path) -> None:
    """`out`: config.json, model.safetensors, tokenizer.json, tokenizer_config.json; the weights are fp32."""
    out.mkdir(parents=True, exist_ok=True)
    settings = json.loads(teacher.tokenizer.to_str())
    settings["model"]["vocab"] = [settings["model"]["vocab"][i] for i in kept]
    tokenizer = Tokenizer.from_str(json.dumps(settings))
    assert isinstance(tokenizer.model, models.Unigram)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    ).save_pretrained(str(out))
    config = BertConfig(**{**teacher.config.to_dict(), "vocab_size": len(kept)})
    model = BertModel(config)
    state = dict(teacher.model.state_dict())
    state["embeddings.word_embeddings.weight"] = state["embeddings.word_embeddings.weight"][torch.tensor(kept)]
    model.load_state_dict(state, strict=False)  # what is missing is the pooler, which the teacher has not
    model.save_pretrained(str(out))


def main() -> None:
    """Entry of `python -m models.teacher_directory`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--corpus", type=Path, required=True, help="directory of the corpora (docs/training.md)")
    parser.add_argument("--out", type=Path, required=True, help="the directory to write")
    arguments = parser.parse_args()
    teacher = Teacher(packaged_file())
    texts = [post.text for post in data.read(data.SHIPPED)] + corpora.mixture(arguments.corpus, _SEED)
    kept = kept_pieces(teacher, dict.fromkeys(texts))
    write(teacher, kept, arguments.out)
    print(json.dumps({"pieces": len(kept), "layers": teacher.config.num_hidden_layers}))


if __name__ == "__main__":
    main()
