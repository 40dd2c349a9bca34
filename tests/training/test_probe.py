"""The probe is scikit-learn's logistic regression, its C the first with the lowest loss."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from transferlab.training import probe
from transferlab.training.regression import Design, regressions, solved

MEMORY_MB = 1000.0


def solve(
    features: torch.Tensor, labels: torch.Tensor, grid: list[float], folds: int, seed: int = 0
) -> probe.Solution:
    classes = int(labels.max()) + 1
    return probe.solve(features, labels, classes, grid, folds=folds, seed=seed, memory_mb=MEMORY_MB)


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
@pytest.mark.parametrize("classes", [2, 3, 9])
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


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "width", [5, 90], ids=["more rows than features", "more features than rows"]
)
def test_weights_of_classes_are_scikit_learns(width: int, classes: int) -> None:
    features, labels = blobs(60, width, classes)
    kept = torch.from_numpy(np.flatnonzero((labels.numpy() != 0) | (np.arange(60) % 4 == 0)))
    features, labels = features[kept], labels[kept]
    counts = torch.bincount(labels).double()
    weights = len(labels) / (classes * counts)
    found = probe.solve(
        features, labels, classes, [1.0], folds=3, seed=0, memory_mb=MEMORY_MB, weights=weights
    )
    rows = StandardScaler().fit_transform(features.double().numpy())
    theirs = LogisticRegression(
        C=2.0 if classes == 2 else 1.0, tol=1e-10, max_iter=20000, class_weight="balanced"
    ).fit(rows, labels.numpy())
    probabilities = (features.double() @ found.weight.double().T + found.bias.double()).softmax(1)
    np.testing.assert_allclose(probabilities.numpy(), theirs.predict_proba(rows), atol=2e-5)
    unweighted = solve(features, labels, [1.0], 3)
    assert not torch.allclose(found.bias, unweighted.bias, atol=1e-2)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "width", [5, 90], ids=["more rows than features", "more features than rows"]
)
def test_parts_solved_together_equal_each_in_a_design_of_its_own(width: int, classes: int) -> None:
    features, labels = blobs(60, width, classes)
    parts, c = [np.arange(40), np.arange(7, 60), np.arange(20, 50)], [1e-3, 0.1, 10.0]
    design = Design(features, labels, classes)
    problems = regressions(design, parts, torch.float64).at(c)
    together = problems.raw(solved(problems, problems.zeros(), probe.CLOSE))
    for q, part in enumerate(parts):
        design = Design(features[part], labels[part], classes)
        problem = regressions(design, [np.arange(len(part))], torch.float64)
        problem = problem.at([c[q]])
        alone = problem.raw(solved(problem, problem.zeros(), probe.CLOSE))
        for of_all, of_one in zip(together, alone, strict=True):
            torch.testing.assert_close(of_all[q], of_one[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_folds_taken_one_by_one_give_what_all_at_once_give(classes: int) -> None:
    features, labels = blobs(70, 30, classes)
    together, each = (
        probe.solve(features, labels, classes, [1e-3, 0.1, 10.0], folds=4, seed=3, memory_mb=room)
        for room in (MEMORY_MB, 0.0)
    )
    assert together.c == each.c
    np.testing.assert_allclose(together.losses, each.losses, rtol=2e-3)
    torch.testing.assert_close(together.weight, each.weight, rtol=1e-4, atol=1e-6)


def test_cross_validated_losses_equal_those_of_scikit_learn() -> None:
    features, labels = blobs(90, 20, classes=3)
    grid = np.logspace(-4, 1, 6)
    found = solve(features, labels, grid.tolist(), 5)
    folds, rows = probe._stratified_folds(labels.numpy(), 5, seed=0), features.double().numpy()
    for c, loss in zip(grid, found.losses, strict=False):
        expected = 0.0
        for fold in range(5):
            inside, outside = folds != fold, folds == fold
            scaler = StandardScaler().fit(rows[inside])
            model = LogisticRegression(C=c, tol=1e-10, max_iter=20000)
            model.fit(scaler.transform(rows[inside]), labels[inside].numpy())
            chances = model.predict_proba(scaler.transform(rows[outside]))
            expected -= np.log(chances[np.arange(outside.sum()), labels[outside].numpy()]).sum()
        assert loss == pytest.approx(expected / 90, rel=1e-3)


def test_chosen_c_is_the_smallest_with_the_lowest_loss_and_the_way_up_stops_behind_it() -> None:
    features, labels = blobs(80, 20, classes=2)
    grid = np.logspace(-6, 5, 12)
    found = solve(features, labels, grid.tolist(), 5)
    lowest = int(np.argmin(found.losses))
    assert found.c == grid[lowest]
    assert 0 < lowest < len(grid) - 1 - probe.PATIENCE
    assert len(found.losses) == lowest + 1 + probe.PATIENCE


@pytest.mark.parametrize("scale", [0.01, 0.3, 30.0])  # of the minimum among the values of C
def test_a_fold_that_goes_ahead_chooses_no_other_c(
    monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    features, labels = blobs(80, 20, classes=3)
    grid = [scale * c for c in np.logspace(-3, 3, 13)]
    together = solve(features, labels, grid, 5)
    monkeypatch.setattr(probe, "SCOUTED", 0)
    ahead = solve(features, labels, grid, 5)
    lowest = grid.index(together.c)
    assert ahead.c == together.c
    tried = together.losses[-len(ahead.losses) :]
    assert len(tried) < len(together.losses) or lowest < 2 * probe.PATIENCE
    np.testing.assert_allclose(ahead.losses, tried, rtol=2e-3)
    torch.testing.assert_close(ahead.weight, together.weight, rtol=1e-4, atol=1e-6)


def test_all_folds_go_further_down_where_the_one_ahead_went_too_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, labels = blobs(80, 20, classes=3)
    grid = np.logspace(-3, 5, 17).tolist()
    together, climb = solve(features, labels, grid, 5), probe._climb

    def misled(design: Design, folds: list[object], *way: Any) -> object:
        """The single fold finds its minimum at the largest C."""
        steps = climb(design, folds, *way)  # type: ignore[arg-type]
        if len(folds) > 1:
            return steps
        return [(c, -float(number), steps[-1][2]) for number, c in enumerate(grid)]

    monkeypatch.setattr(probe, "SCOUTED", 0)
    monkeypatch.setattr(probe, "_climb", misled)
    assert together.c < grid[-1 - 2 * probe.PATIENCE]
    assert solve(features, labels, grid, 5).c == together.c


def test_where_every_c_is_as_good_the_smallest_is_taken() -> None:
    nothing = torch.ones(20, 3)
    assert solve(nothing, torch.arange(20) % 2, [1e-3, 1.0, 1e3], 5).c == 1e-3


def test_problems_taken_at_once_are_as_many_as_there_is_room_for() -> None:
    features, labels = blobs(60, 10, classes=3)
    parts = [np.arange(60)] * 7
    problems = regressions(Design(features, labels, 3), parts, torch.float32)
    # outputs, bytes, and what 30 vectors and 10 logits hold
    one = 3 * 8 * (30 * 11 + 10 * 60) / 1e6
    for room, expected in ((0.0, [1] * 7), (2.5 * one, [2, 2, 2, 1]), (100 * one, [7])):
        groups = list(probe._together(problems, room))
        assert [len(some) for some in groups] == expected
        assert torch.cat(groups).tolist() == list(range(7))


@pytest.mark.slow
def test_minimum_that_single_precision_cannot_tell_from_its_rounding_is_reached() -> None:
    features, labels = blobs(120, 300, classes=60)
    design, values = Design(features, labels, 60), {}
    exact = regressions(design, [np.arange(120)], torch.float64).at([1e4])
    for precision in (torch.float32, torch.float64):
        problem = regressions(design, [np.arange(120)], precision).at([1e4])
        found = solved(problem, problem.zeros(), probe.ROUGH)
        assert found.dtype == precision
        values[precision] = float(exact.value(found.double(), exact.linear(found.double()))[0])
    assert values[torch.float32] == pytest.approx(values[torch.float64], rel=5e-6)


def test_separable_data_and_huge_c_stay_finite() -> None:
    features = torch.cat([torch.full((10, 3), -1.0), torch.full((10, 3), 1.0)])
    found = solve(features, torch.arange(20) // 10, [1e5], 5)
    assert found.weight.isfinite().all()
    assert ((features @ found.weight.T + found.bias).argmax(1) == torch.arange(20) // 10).all()


def test_a_value_of_c_that_is_listed_twice_changes_nothing() -> None:
    features, labels = blobs(40, 4, classes=2)
    once, twice = (solve(features, labels, grid, 4) for grid in ([0.1, 1.0], [0.1, 0.1, 1.0, 1.0]))
    torch.testing.assert_close(twice.weight, once.weight)
    assert twice.c == once.c


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
    with pytest.raises(ValueError, match=r"expected two images .* of every class .*, got 1 of the"):
        solve(torch.randn(3, 2), torch.tensor([0, 0, 1]), [1.0], 5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_no_numbers_are_counted_in_one_line(value: float) -> None:
    features, labels = blobs(30, 5, classes=2)
    features[[3, 3, 7], [0, 1, 4]] = value
    with pytest.raises(ValueError, match=r"NaN or infinity for 2 of 30 images\. Use other weights"):
        solve(features, labels, [1.0], 3)
