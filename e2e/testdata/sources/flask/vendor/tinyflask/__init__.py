"""As much of Flask's idea as a test needs: routes over WSGI (PEP 3333)."""

from wsgiref.simple_server import make_server


class Flask:
    def __init__(self, name):
        self.name, self.routes = name, {}

    def route(self, path):
        def add(view):
            self.routes[path] = view
            return view

        return add

    def __call__(self, environ, start_response):
        view = self.routes.get(environ["PATH_INFO"])
        start_response("200 OK" if view else "404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [(view() if view else "there is nothing\n").encode()]

    def run(self, host, port):
        make_server(host, port, self).serve_forever()
