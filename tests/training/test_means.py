"""What frozen features give without training: means of the classes, and votes of neighbours."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from transferlab.network import models
from transferlab.network.neighbours import TEMPERATURE, Neighbours
from transferlab.training.means import nearest_mean


def rows(count: int = 90, features: int = 12, classes: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Features with scales of their own, their labels, and features that are asked about."""
    chance = np.random.default_rng(0)
    labels = np.arange(count) % classes
    centres = chance.normal(size=(classes, features))
    scales = np.logspace(-2, 2, features)
    both = [
        (centres[labels] + 1.5 * chance.normal(size=(count, features))) * scales + 3
        for _ in range(2)
    ]
    known, asked = (torch.from_numpy(values).float() for values in both)
    return known, torch.from_numpy(labels), asked


def test_nearest_mean_answers_as_scikit_learns_on_standardised_features() -> None:
    known, labels, asked = rows()
    weight, bias = nearest_mean(known, labels, 3)
    scaler = StandardScaler().fit(known.double().numpy())
    theirs = NearestCentroid().fit(scaler.transform(known.double().numpy()), labels.numpy())
    ours = (asked @ weight.T + bias).argmax(1)
    assert ours.tolist() == theirs.predict(scaler.transform(asked.double().numpy())).tolist()


def test_probabilities_of_nearest_mean_are_those_of_the_distributions_it_stands_for() -> None:
    """Two normal distributions whose features are one direction: the posterior is known."""
    chance = np.random.default_rng(1)
    labels = np.arange(20_000) % 2
    values = torch.from_numpy(chance.normal(size=20_000) + labels).float()
    repeated = values[:, None].repeat(1, 6)  # six times the same count once
    weight, bias = nearest_mean(repeated, torch.from_numpy(labels), 2)
    asked = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])
    logits = asked[:, None].repeat(1, 6) @ weight.T + bias
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], asked - 0.5, atol=0.06, rtol=0.05)


@pytest.mark.parametrize("count", [1, 5])
def test_neighbours_vote_as_scikit_learns_by_the_cosine(count: int) -> None:
    known, labels, asked = rows()
    head = Neighbours(12, 3, count)
    head.know(known, labels)
    theirs = KNeighborsClassifier(
        n_neighbors=count, metric="cosine", weights=lambda away: np.exp(-away / TEMPERATURE)
    ).fit(known.numpy(), labels.numpy())
    shares = head(asked).exp() - 1e-3
    np.testing.assert_allclose(shares.numpy(), theirs.predict_proba(asked.numpy()), atol=1e-4)


def test_neighbours_of_another_number_of_images_are_put_into_a_network() -> None:
    known, labels, asked = rows()
    head, other = Neighbours(12, 3, 5), Neighbours(12, 3, 5)
    head.know(known[:40], labels[:40])
    other.know(known, labels)
    models.overlay(nn.Sequential(head), {f"0.{k}": v for k, v in other.state_dict().items()})
    assert torch.equal(head(asked), other(asked))
