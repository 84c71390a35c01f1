"""Says whether a review is good or bad by the weights of its words; which words weigh what is the model's own matter."""

import json
import re
from pathlib import Path


class Reviews:
    """One model: the same code with other weights is another one."""

    def load(self, context):
        """Reads the weights from the model's folder."""
        self.weights = json.loads((Path(context.system_properties["model_dir"]) / "weights.json").read_text(encoding="utf-8"))

    def predict(self, text: str) -> dict:
        """The sum of the weights, and what it means; words without a weight say nothing."""
        known = [word for word in re.findall(r"\w+", text.lower()) if word in self.weights]
        score = sum(self.weights[word] for word in known)
        return {"opinion": "good" if score > 0 else "bad" if score < 0 else "unsure", "because": known}
