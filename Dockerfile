# The page for anyone with Docker: docker build -t qa-compare . && docker run --rm -p 7860:7860 qa-compare
FROM python:3.11-slim

# a user of its own, as a Space has one: nothing in the page needs more
RUN useradd --create-home --uid 1000 visitor
WORKDIR /home/visitor/qa_compare

# PyTorch's build for processors first: its ordinary one brings gigabytes for cards that a container seldom has
RUN pip install --no-cache-dir "torch>=2.8,<2.14" --index-url https://download.pytorch.org/whl/cpu
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt

COPY --chown=visitor app.py README.md LICENSE ./
COPY --chown=visitor qa_compare qa_compare
COPY --chown=visitor adapters adapters

USER visitor
EXPOSE 7860
# nobody asked for the hub; leave it out to fetch SQuAD's questions and other encoders: docker run -e HF_HUB_OFFLINE=0 …
ENV HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
CMD ["python", "app.py", "--host", "0.0.0.0"]
