"""Pictures and labels for training: Cityscapes and plain images/labels layouts, seeded augmentation, batches."""

from __future__ import annotations

import os
import queue
import threading
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np
from PIL import Image

IGNORE = 255
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
PICTURES = (".png", ".jpg", ".jpeg", ".ppm", ".bmp")


class DataError(Exception):
    """The data cannot be trained on; the text names the file or folder and says what to do."""


class Pair(NamedTuple):
    """A picture, its truth, and the table from stored label to class (None: as stored)."""

    image: str
    label: str
    cityscapes_ids: bool


class Augment(NamedTuple):
    """How a crop is drawn. The paper: resize 0.5 to 2, crop, flip, noise on the colour channels, brightness."""

    size: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    aspect: float = 1.0  # width over height is changed by at most this factor
    flip: bool = True
    colour: float = 0.1  # gain of each colour channel, 1 +- this
    brightness: float = 0.2  # gain of all, 1 +- this
    contrast: float = 0.0
    saturation: float = 0.0
    rare: float = 0.0  # share of crops that are put over a pixel of a rare class


def _plain(root: str) -> list[Pair]:
    folder, truth = os.path.join(root, "images"), os.path.join(root, "labels")
    pairs = []
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in PICTURES:
            continue
        label = os.path.join(truth, stem + ".png")
        if not os.path.isfile(label):
            raise DataError(f"{os.path.join(folder, name)}: no truth for it: {label} is missing")
        pairs.append(Pair(os.path.join(folder, name), label, False))
    return pairs


def _cityscapes(root: str, split: str) -> list[Pair]:
    folder = os.path.join(root, "leftImg8bit", split)
    pairs = []
    for city in sorted(os.listdir(folder)):
        for name in sorted(os.listdir(os.path.join(folder, city))):
            if not name.endswith("_leftImg8bit.png"):
                continue
            stem = os.path.join(root, "gtFine", split, city, name[:-len("leftImg8bit.png")] + "gtFine_label")
            trained = os.path.isfile(stem + "TrainIds.png")
            label = stem + ("TrainIds.png" if trained else "Ids.png")
            if not os.path.isfile(label):
                raise DataError(f"{os.path.join(folder, city, name)}: no truth for it: {label} is missing")
            pairs.append(Pair(os.path.join(folder, city, name), label, not trained))
    return pairs


def find_pairs(root: str, splits: Sequence[str]) -> list[Pair]:
    """The pairs of the named splits: `ROOT/leftImg8bit/SPLIT` (Cityscapes), `ROOT/SPLIT/images` or `ROOT/images`."""
    pairs: list[Pair] = []
    for split in splits:
        if os.path.isdir(os.path.join(root, "leftImg8bit", split)):
            found = _cityscapes(root, split)
        elif os.path.isdir(os.path.join(root, split, "images")):
            found = _plain(os.path.join(root, split))
        elif len(splits) == 1 and os.path.isdir(os.path.join(root, "images")):
            found = _plain(root)
        else:
            raise DataError(f"{root}: neither leftImg8bit/{split} (Cityscapes) nor {split}/images with {split}/labels")
        if not found:
            raise DataError(f"{root}: the split '{split}' has no pictures")
        pairs += found
    return pairs


def label_table(classes: int, ignore: Sequence[int], cityscapes_ids: bool) -> np.ndarray:
    """256 entries: stored label to class, IGNORE, or -1 where the label is not allowed."""
    table = np.full(256, -1, np.int16)
    if cityscapes_ids:
        table[:34] = IGNORE
        table[IGNORE] = IGNORE  # licence plates: -1 in the file's eight bits
        for train_id, stored in enumerate(CITYSCAPES_IDS):
            table[stored] = train_id
        return table
    table[list(ignore)] = IGNORE
    table[:classes] = np.arange(classes)
    return table


def load(pair: Pair, classes: int, ignore: Sequence[int], channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """uint8 picture [H, W, channels] and uint8 labels [H, W], IGNORE where the truth says nothing."""
    try:
        with Image.open(pair.image) as file:
            image = np.asarray(file.convert("RGB" if channels == 3 else "RGBA"))
        with Image.open(pair.label) as file:
            stored = np.asarray(file)
    except OSError as error:
        raise DataError(f"{pair.image} with {pair.label}: cannot be read: {error}") from None
    if stored.ndim != 2 or stored.dtype != np.uint8:
        raise DataError(f"{pair.label}: labels must be one 8-bit channel, this has {stored.shape} of {stored.dtype}")
    if stored.shape != image.shape[:2]:
        raise DataError(f"{pair.label}: {stored.shape[0]}x{stored.shape[1]}, but its picture is "
                        f"{image.shape[0]}x{image.shape[1]}")
    table = label_table(classes, ignore, pair.cityscapes_ids)
    wrong = np.flatnonzero((np.bincount(stored.ravel(), minlength=256) > 0) & (table < 0))
    if len(wrong):
        raise DataError(f"{pair.label}: label {wrong[0]} is neither a class below {classes} nor ignored: "
                        f"use --ignore {','.join(map(str, [*ignore, wrong[0]]))} if it means no class")
    return image, table[stored].astype(np.uint8)


class Pairs:
    """Pairs with their pixels, kept in memory up to a budget; the class counts are taken on the way."""

    def __init__(self, pairs: Sequence[Pair], classes: int, ignore: Sequence[int], channels: int = 3,
                 cache_bytes: int = 4 << 30):
        self.pairs, self.classes, self.ignore, self.channels = list(pairs), classes, tuple(ignore), channels
        self._left = cache_bytes
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        loaded = load(self.pairs[index], self.classes, self.ignore, self.channels)
        size = loaded[0].nbytes + loaded[1].nbytes
        with self._lock:
            if size <= self._left and index not in self._kept:
                self._kept[index] = loaded
                self._left -= size
        return loaded

    def count(self) -> np.ndarray:
        """Pixels of each class in each picture: int64 [pictures, classes]."""
        return np.stack([np.bincount(self[i][1].ravel(), minlength=256)[:self.classes] for i in range(len(self))])


def _resized(array: np.ndarray, box: tuple[float, float, float, float], size: tuple[int, int], kind: Any) -> np.ndarray:
    """`box` (left, top, right, bottom) of the array, brought to `size` (height, width)."""
    return np.asarray(Image.fromarray(array).resize((size[1], size[0]), kind, box))


def _place(extent: int, span: float, aim: float | None, random: np.random.Generator) -> float:
    """Where a window of `span` starts on an axis: anywhere inside, or so that it holds `aim`."""
    room = extent - span
    if room <= 0:
        return random.uniform(room, 0)
    if aim is None:
        return random.uniform(0, room)
    return min(max(aim - span * random.uniform(0.1, 0.9), 0.0), room)


def augment(image: np.ndarray, label: np.ndarray, how: Augment, random: np.random.Generator,
            aim_class: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A crop of `how.size`: float32 in 0..1 with the mean colour outside the picture, and uint8 labels."""
    scale = float(np.exp(random.uniform(np.log(how.scale[0]), np.log(how.scale[1]))))
    stretch = float(np.exp(random.uniform(-1, 1) * np.log(how.aspect))) ** 0.5
    tall, wide = scale / stretch, scale * stretch
    aim: tuple[float | None, float | None] = (None, None)
    if aim_class is not None:
        places = np.flatnonzero(label == aim_class)
        if len(places):
            place = int(places[random.integers(len(places))])
            aim = (place // label.shape[1], place % label.shape[1])
    height, width = label.shape
    top = _place(height, how.size[0] / tall, aim[0], random)
    left = _place(width, how.size[1] / wide, aim[1], random)
    # The part of the crop that the picture covers, in crop and in picture coordinates.
    first = [max(0, round(-top * tall)), max(0, round(-left * wide))]
    last = [max(first[0] + 1, min(how.size[0], round((height - top) * tall))),
            max(first[1] + 1, min(how.size[1], round((width - left) * wide)))]
    box = (max(left + first[1] / wide, 0.0), max(top + first[0] / tall, 0.0),
           min(left + last[1] / wide, width), min(top + last[0] / tall, height))
    size = (last[0] - first[0], last[1] - first[1])
    window = (slice(first[0], last[0]), slice(first[1], last[1]))
    truth = np.full(how.size, IGNORE, np.uint8)
    truth[window] = _resized(label, box, size, Image.NEAREST)
    part = _resized(image, box, size, Image.BILINEAR).astype(np.float32) * np.float32(1 / 255)
    part[..., :3] = _recolour(part[..., :3], how, random)
    pixels = np.empty((*how.size, image.shape[2]), np.float32)
    pixels[:] = part[::4, ::4].mean((0, 1))  # a sixteenth of the pixels tells the mean well enough
    pixels[window] = part
    if how.flip and random.random() < 0.5:
        pixels, truth = pixels[:, ::-1], truth[:, ::-1]
    return pixels, truth


def _recolour(part: np.ndarray, how: Augment, random: np.random.Generator) -> np.ndarray:
    """One affine map of the three colours: saturation, then contrast about the mean, then gains; kept in 0..1."""
    saturation = 1 + random.uniform(-1, 1) * how.saturation
    contrast = 1 + random.uniform(-1, 1) * how.contrast
    gain = (1 + random.uniform(-1, 1, 3) * how.colour) * (1 + random.uniform(-1, 1) * how.brightness)
    matrix = np.eye(3) * saturation + np.array([0.299, 0.587, 0.114])[:, None] * (1 - saturation)
    mean = part[::4, ::4].mean((0, 1)) @ matrix
    matrix = (matrix * contrast * gain).astype(np.float32)
    return np.clip(part @ matrix + ((1 - contrast) * mean * gain).astype(np.float32), 0, 1)


class Batches:
    """Endless batches by number: batch `i` of a seed is the same on every machine, and after every resume."""

    def __init__(self, pairs: Pairs, how: Augment, batch: int, seed: int, mean: Sequence[float], std: Sequence[float],
                 counts: np.ndarray | None = None, crops: Sequence[tuple[int, int]] = ()):
        self.crops = tuple(crops) or (how.size,)  # batches take turns
        self.pairs, self.how, self.batch, self.seed = pairs, how, batch, seed
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        self.holders: list[np.ndarray] = []
        self.odds = np.zeros(0)
        if how.rare > 0:
            if counts is None:
                raise ValueError("crops over rare classes need the class counts")
            share = counts.sum(0) / max(counts.sum(), 1)
            self.holders = [np.flatnonzero(counts[:, c] > 0) for c in range(pairs.classes)]
            odds = np.where(share > 0, 1 / np.sqrt(np.maximum(share, 1e-6)), 0) * (share < 1 / pairs.classes)
            self.odds = odds / odds.sum() if odds.sum() else odds
        self.epoch = max(1, -(-len(pairs) // batch))

    def order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, 1, epoch)).permutation(len(self.pairs))

    def __call__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """float32 [batch, H, W, channels], normalised, and uint8 [batch, H, W]."""
        images, labels = [], []
        how = self.how._replace(size=self.crops[number % len(self.crops)])
        for slot in range(self.batch):
            place = number * self.batch + slot
            random = np.random.default_rng((self.seed, 2, place))
            index = int(self.order(place // len(self.pairs))[place % len(self.pairs)])
            aim = None
            if self.odds.sum() > 0 and random.random() < self.how.rare:
                aim = int(random.choice(len(self.odds), p=self.odds))
                index = int(self.holders[aim][random.integers(len(self.holders[aim]))])
            image, label = self.pairs[index]
            pixels, truth = augment(image, label, how, random, aim)
            images.append((pixels - self.mean) / self.std)
            labels.append(truth)
        return np.stack(images), np.stack(labels)

    def stream(self, first: int, workers: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches from number `first` on, made ahead by `workers` threads, in order."""
        lanes: list[queue.Queue[Any]] = [queue.Queue(2) for _ in range(workers)]
        stop = threading.Event()

        def put(lane: queue.Queue[Any], item: Any) -> bool:
            while not stop.is_set():
                try:
                    lane.put(item, timeout=0.2)
                    return True
                except queue.Full:
                    continue
            return False

        def make(worker: int) -> None:
            number = first + worker
            try:
                while put(lanes[worker], self(number)):
                    number += workers
            except BaseException as error:  # handed to the reader, who raises it
                put(lanes[worker], error)

        for worker in range(workers):
            threading.Thread(target=make, args=(worker,), daemon=True).start()
        try:
            number = 0
            while True:
                item = lanes[number % workers].get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                number += 1
        finally:
            stop.set()
