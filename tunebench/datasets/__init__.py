"""Data sets and splits; torchvision and scikit-learn are imported only when a data set needs them."""

from tunebench.datasets.base import Dataset, DatasetSource, Place, Samples
from tunebench.datasets.catalog import dataset_names, expand_datasets, open_dataset
from tunebench.datasets.splits import holdout

__all__ = [
    "Dataset",
    "DatasetSource",
    "Place",
    "Samples",
    "dataset_names",
    "expand_datasets",
    "holdout",
    "open_dataset",
]
