"""From pictures, a measure and weights to the rows of a table."""

from pellucid.evaluation.denoising import (
    Measurement,
    Row,
    measure_denoising,
    plain_values,
    save_measurements,
    summarise,
    with_restorer,
)

__all__ = ["Measurement", "Row", "measure_denoising", "plain_values", "save_measurements", "summarise", "with_restorer"]
