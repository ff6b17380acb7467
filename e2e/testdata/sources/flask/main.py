import os

from tinyflask import Flask

app = Flask(__name__)


@app.route("/")
def hello():
    return "hello from flask\n"


app.run("", int(os.environ["PORT"]))
