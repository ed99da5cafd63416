"""The published networks have the published numbers of parameters."""

import pytest

from interactive_dl.science import rpv


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 547_841),
        ({"conv": (8, 16, 32), "dense": 64}, 137_089),
        (
            {"conv": (64, 128, 256, 256), "dense": 512, "dropout": 0, "strides": (1, 2, 1, 2)},
            34_515_201,
        ),
    ],
)
def test_a_network_has_its_published_size(options: dict, parameters: int) -> None:
    assert rpv.build_model(**options).count_params() == parameters


def test_the_full_size_is_the_published_network_at_64_by_64() -> None:
    full = rpv.FULL_SIZE
    model = rpv.build_model(full.conv, full.dense, full.dropout, full.input_shape)
    assert model.count_params() == 547_841
    assert model.output_shape == (None, 1)
