require("http").createServer((_, answer) => answer.end("hello from node\n")).listen(process.env.PORT);
