"""`mms.service` of the old server: the exception that handlers raise."""

from argosy.handler import PredictionException
from argosy.worker.meters import emit_metrics

__all__ = ["PREDICTION_METRIC", "PredictionException", "emit_metrics"]

PREDICTION_METRIC = "PredictionTime"
