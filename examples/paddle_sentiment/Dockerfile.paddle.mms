FROM argosy:base-cpu-py3.11

RUN pip install --user -U paddlepaddle \
 && pip install --user -U numpy
