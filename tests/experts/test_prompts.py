import json

import numpy as np
import pytest

from medmask.errors import InputError
from medmask.experts.prompts import DEFAULT_PROMPTS, PromptEmbeddings, Prompts, read_prompts


def embedded(embeddings, class_indices, logit_scale=1.0):
    return PromptEmbeddings(
        class_names=tuple(f"class {c}" for c in range(max(class_indices) + 1)),
        texts=tuple(f"text {t}" for t in range(len(class_indices))),
        class_indices=np.array(class_indices),
        embeddings=np.array(embeddings, np.float32),
        logit_scale=logit_scale,
    )


def test_groups_round_trip():
    groups = {"b": ["x", "y"], "a": ["z"]}
    prompts = Prompts.from_groups(groups)
    assert prompts.class_names == ("b", "a")
    assert prompts.texts == ("x", "y", "z")
    assert prompts.class_indices == (0, 0, 1)
    assert prompts.to_groups() == groups


def test_default_prompts_tell_malignant_from_normal():
    groups = DEFAULT_PROMPTS.to_groups()
    assert list(groups) == ["malignant", "normal"]
    assert "malignant mass in the breast" in groups["malignant"]
    assert "normal breast tissue" in groups["normal"]


def test_file(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"cancer": ["Krebs"], "none": ["gesund", "säulenförmig"]}))
    assert read_prompts(path).texts == ("Krebs", "gesund", "säulenförmig")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is cut off at line 1"),
        ('["malignant mass"]', "must hold"),
        ('{"malignant": "malignant mass"}', "must hold"),
        ('{"malignant": [1]}', "must hold"),
        ("{}", "name no class"),
        ('{"malignant": []}', "class 'malignant' of the prompts has no text"),
        ('{"a": ["same"], "b": ["same"]}', "hold 'same' twice"),
        ('{"a": [" "]}', "is empty"),
    ],
)
def test_faulty_file(tmp_path, content, message):
    path = tmp_path / "prompts.json"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"prompt file .*prompts\.json.*{message}"):
        read_prompts(path)


def test_absent_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_prompts(tmp_path / "prompts.json")


def test_class_embedding_is_the_mean_direction_of_its_texts():
    prompts = embedded([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0, 0, 1])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(prompts.class_embeddings, [[half, half, 0], [0, 0, 1]], rtol=1e-6)


def test_assignment_is_the_softmax_of_scaled_similarities():
    prompts = embedded([[1, 0], [0, 1]], [0, 1], logit_scale=2.0)
    probabilities = prompts.assign(np.array([[1.0, 0.0], [0.6, 0.8]]))
    expected = np.exp([[2.0, 0.0], [1.2, 1.6]])
    np.testing.assert_allclose(
        probabilities, expected / expected.sum(axis=1, keepdims=True), rtol=1e-6
    )
    # logits of hundreds, as large models have them, do not overflow
    assert np.isfinite(embedded([[1, 0], [0, 1]], [0, 1], 1000.0).assign(np.eye(2))).all()
