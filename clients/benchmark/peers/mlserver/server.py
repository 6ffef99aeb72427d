"""MLServer with its adaptive batching: a custom runtime.

Its REST endpoint reads JSON alone, so the bytes travel in base64, which costs it less than a list of numbers. The rest
is set by MLServer's own variables, such as MLSERVER_PARALLEL_WORKERS and MLSERVER_MODEL_MAX_BATCH_SIZE.
"""

from mlserver import MLModel
from mlserver.codecs import Base64Codec
from mlserver.types import InferenceRequest, InferenceResponse

from clients.benchmark.peers.common.signs_models import open_model


class SignModel(MLModel):
    """Answers crops or photographs."""

    async def load(self) -> bool:
        """Loads the model, in each worker."""
        self.model = open_model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answers a batch that MLServer has put together."""
        answers = self.model(Base64Codec.decode_input(payload.inputs[0]))
        output = Base64Codec.encode_output("answers", answers, use_bytes=False)
        return InferenceResponse(model_name=self.name, outputs=[output])
