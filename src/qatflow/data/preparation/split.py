"""Assigns pictures to training, validation, test and calibration, determined by the seed alone."""

import numpy as np

from qatflow.base.errors import UserError
from qatflow.data.sources.listing import Listing
from qatflow.data.sources.source_files import SPLITS, Split

# Each use of the seed has its own random stream, so that changing one split leaves the order of the others alone.
_TEST, _VALIDATION, _ORDER, _CALIBRATION = range(4)


def split(
    pictures: Listing, *, validation: int, test: int, seed: int, test_from: Split = "train"
) -> dict[Split, np.ndarray]:
    """Return for each split the positions in `pictures` that belong to it, int64, in the order of writing.

    A split that the source has is used as it is. Otherwise it is set aside from training (the test pictures from
    validation if `test_from` says so), each class in proportion to its share (to within one picture). Every split is
    shuffled, so that its first n pictures are a fair sample.

    Pictures without labels count as one class.

    Raises:
        UserError: setting aside would leave a class without pictures.
    """
    labels, own = np.maximum(pictures.labels, 0), pictures.splits
    parts: dict[Split, np.ndarray] = {name: np.flatnonzero(own == number) for number, name in enumerate(SPLITS)}
    wanted: tuple[tuple[Split, Split, int, int], ...] = (
        ("test", test_from, test, _TEST),
        ("validation", "train", validation, _VALIDATION),
    )
    for name, giver, count, stream in wanted if test_from == "train" else wanted[::-1]:
        if not len(parts[name]):
            available = parts[giver]
            chosen = stratified(labels[available], count, np.random.default_rng([seed, stream]), f"data.{name}", giver)
            parts[name] = available[chosen]
            parts[giver] = available[~chosen]
    return {
        name: np.random.default_rng([seed, _ORDER, number]).permutation(parts[name])
        for number, name in enumerate(SPLITS)
    }


def stratified(
    labels: np.ndarray, count: int, random: np.random.Generator, key: str, giver: str = "train"
) -> np.ndarray:
    """Choose `count` of these labels at random, in proportion to the classes (largest remainders).

    Args:
        labels: integers [n].
        count: how many to choose.
        random: decides which ones of a class.
        key: configuration key of `count`, for the message.
        giver: split whose labels these are, for the message.

    Returns:
        bool [n], true where chosen; at least one of each class present is left.
    """
    sizes = np.bincount(labels)
    present = int((sizes > 0).sum())
    if count > len(labels) - present:
        raise UserError(
            f"{key}: {count} pictures are to be set aside, but there are {len(labels)} "
            f"{'training' if giver == 'train' else giver} pictures of {present} "
            f"class{'' if present == 1 else 'es'}, and one of each class must stay: lower {key} to "
            f"{len(labels) - present} or less"
        )
    share = sizes * (count / len(labels))
    quota = np.minimum(share.astype(np.int64), np.maximum(sizes - 1, 0))
    by_remainder = np.argsort(-(share - np.floor(share)), kind="stable")
    while quota.sum() < count:  # one round, or more if small classes are exhausted
        for label in by_remainder:
            if quota.sum() < count and quota[label] < sizes[label] - 1:
                quota[label] += 1
    chosen = np.zeros(len(labels), bool)
    for label, number in enumerate(quota):
        chosen[random.permutation(np.flatnonzero(labels == label))[:number]] = True
    return chosen


def balanced(labels: np.ndarray, count: int, seed: int, giver: str = "train") -> np.ndarray:
    """Choose the calibration pictures: positions int64 [count] in `labels`, taking the classes in turn.

    Each prefix is balanced over the classes, as long as they have pictures left.

    Raises:
        UserError: there are fewer pictures than asked for.
    """
    if count > len(labels):
        whose = "training has" if giver == "train" else "data.unlabeled.path holds"
        raise UserError(f"data.calibration: {count} pictures are asked for, but {whose} only {len(labels)}: lower it")
    shuffled = np.random.default_rng([seed, _CALIBRATION]).permutation(len(labels))
    by_label = np.argsort(labels[shuffled], kind="stable")
    sorted_labels = labels[shuffled][by_label]
    turn = np.arange(len(labels)) - np.searchsorted(sorted_labels, sorted_labels)  # how many of its class come before
    return shuffled[by_label][np.lexsort((sorted_labels, turn))][:count]
