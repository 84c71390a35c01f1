# An image that serves PaddlePaddle models: docker build -t paddle-mms -f Dockerfile.paddle.mms .
ARG BASE=argosy:base-cpu
FROM ${BASE}

RUN pip install --user -U paddlepaddle==3.3.1 \
 && pip install --user -U numpy
