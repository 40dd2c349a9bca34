"""The probe is scikit-learn's logistic regression, solved for all C at once."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from transferlab.training import probe


def solve(
    features: torch.Tensor, labels: torch.Tensor, grid: list[float], folds: int
) -> probe.Solution:
    seeds = {0: np.arange(len(labels))}
    return probe.solve(features, labels, int(labels.max()) + 1, grid, folds=folds, seeds=seeds)[0]


def blobs(count: int, width: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    chance = np.random.default_rng(0)
    labels = np.arange(count) % classes
    centres = chance.normal(size=(classes, width))
    rows = centres[labels] + 2 * chance.normal(size=(count, width)) + 5
    return torch.tensor(rows, dtype=torch.float32), torch.tensor(labels)


@pytest.mark.parametrize(
    "width", [5, 300], ids=["more rows than features", "more features than rows"]
)
@pytest.mark.parametrize("c", [0.001, 1.0, 100.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_solution_equals_scikit_learn(width: int, c: float, classes: int) -> None:
    features, labels = blobs(90, width, classes)
    found = solve(features, labels, [c], 3)
    scaler = StandardScaler().fit(features.double().numpy())
    rows = scaler.transform(features.double().numpy())
    # Of two classes scikit-learn has one vector v, ours are -v / 2 and v / 2: half the penalty.
    theirs = 2 * c if classes == 2 else c
    expected = LogisticRegression(C=theirs, tol=1e-10, max_iter=20000).fit(rows, labels.numpy())
    probabilities = (features.double() @ found.weight.double().T + found.bias.double()).softmax(1)
    np.testing.assert_allclose(probabilities.numpy(), expected.predict_proba(rows), atol=2e-5)


def test_values_of_c_and_folds_solved_together_equal_those_solved_alone() -> None:
    features, labels = blobs(60, 40, classes=2)
    grid = torch.tensor([1e-4, 1e-1, 10.0], dtype=torch.float64)
    parts = [np.arange(40), np.arange(7, 60)]
    both = probe._fit(features.double(), labels, 2, grid.expand(2, -1), parts)
    for part, together, biases in zip(parts, *both, strict=True):
        for i, c in enumerate(grid):
            (alone,), (bias,) = probe._fit(features.double(), labels, 2, c[None, None], [part])
            torch.testing.assert_close(together[i], alone[0], atol=1e-4, rtol=1e-3)
            torch.testing.assert_close(biases[i], bias[0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("limit", [1000.0, 0.0], ids=["together", "one after the other"])
def test_seeds_solved_together_equal_each_alone(
    classes: int, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "AT_ONCE_MB", limit)
    features, labels = blobs(70, 30, classes)
    seeds = {seed: np.random.default_rng(seed).permutation(70)[:50] for seed in (3, 1, 7)}
    grid = [1e-3, 1e-1, 10.0]
    found = probe.solve(features, labels, classes, grid, folds=4, seeds=seeds)
    assert list(found) == [3, 1, 7]
    for seed, rows in seeds.items():
        alone = probe.solve(features, labels, classes, grid, folds=4, seeds={seed: rows})[seed]
        assert alone.c == found[seed].c
        np.testing.assert_allclose(alone.losses, found[seed].losses, rtol=1e-6)
        torch.testing.assert_close(alone.weight, found[seed].weight, rtol=1e-4, atol=1e-6)


def test_chosen_c_has_the_lowest_cross_validated_loss_and_the_smaller_one_wins_a_tie() -> None:
    features, labels = blobs(80, 20, classes=2)
    grid = np.logspace(-6, 5, 12)
    found = solve(features, labels, grid.tolist(), 5)
    assert found.c == grid[int(np.argmin(found.losses))]
    assert len(found.losses) == len(grid)


def test_separable_data_and_huge_c_stay_finite() -> None:
    features = torch.cat([torch.full((10, 3), -1.0), torch.full((10, 3), 1.0)])
    found = solve(features, torch.arange(20) // 10, [1e5], 5)
    assert found.weight.isfinite().all()
    assert ((features @ found.weight.T + found.bias).argmax(1) == torch.arange(20) // 10).all()


def test_constant_features_do_no_harm() -> None:
    features, labels = blobs(40, 4, classes=2)
    found = solve(torch.cat([features, torch.ones(40, 2)], dim=1), labels, [1.0], 4)
    assert found.weight.isfinite().all()


def test_folds_are_stratified_and_drawn_by_the_seed() -> None:
    labels = np.array([0] * 10 + [1] * 5)
    folds = probe._stratified_folds(labels, 5, seed=3)
    assert [np.bincount(labels[folds == fold]).tolist() for fold in range(5)] == [[2, 1]] * 5
    assert np.array_equal(folds, probe._stratified_folds(labels, 5, seed=3))
    assert not np.array_equal(folds, probe._stratified_folds(labels, 5, seed=4))


def test_class_with_a_single_image_is_refused() -> None:
    with pytest.raises(ValueError, match="expected two images or more of every class"):
        solve(torch.randn(3, 2), torch.tensor([0, 0, 1]), [1.0], 5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_no_numbers_are_counted_in_one_line(value: float) -> None:
    features, labels = blobs(30, 5, classes=2)
    features[[3, 3, 7], [0, 1, 4]] = value
    with pytest.raises(ValueError, match=r"NaN or infinity for 2 of 30 images\. Use other weights"):
        solve(features, labels, [1.0], 3)
