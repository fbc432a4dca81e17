// The server of node_test.go: node server.js DIR MAIN LIMITED IDLE REQUESTS MAXBODY
'use strict';
const http = require('http'), fs = require('fs'), net = require('net'), path = require('path');
const [dir, main, limited, idle, requests, maxBody] = process.argv.slice(2);
const seen = [];

function put(req, res, url) {
  const small = url.startsWith('/small/');
  let size = 0, parts = [];
  const refuse = () => {
    parts = null;
    res.writeHead(413, { Connection: 'close' }).end('too large');
  };
  if (small && Number(req.headers['content-length']) > maxBody) return refuse();
  if (req.headers.expect) res.writeContinue();
  req.on('data', (d) => {
    if (!parts) return;
    parts.push(d);
    if (small && (size += d.length) > maxBody) refuse();
  });
  req.on('end', () => {
    if (parts) fs.writeFile(path.join(dir, url), Buffer.concat(parts), () => res.writeHead(201).end());
  });
}

function handler(req, res) {
  const url = req.url;
  if (req.method === 'PUT') return put(req, res, url);
  if (url === '/trailer') {
    res.writeHead(200, { Trailer: 'X-Sum' });
    req.on('data', (d) => { if (!res.write(d)) { req.pause(); res.once('drain', () => req.resume()); } });
    req.on('end', () => { res.addTrailers({ 'X-Sum': req.trailers['x-sum'] || '' }); res.end(); });
    return;
  }
  fs.readFile(path.join(dir, url), (err, data) => {
    if (err) return res.writeHead(404).end('nothing here');
    if (url.startsWith('/chunked/')) res.writeHead(200, { 'Transfer-Encoding': 'chunked' });
    else res.writeHead(200, { 'Content-Length': data.length });
    const half = data.length >> 1;
    if (half) res.write(data.subarray(0, half));
    res.end(data.subarray(half));
  });
}

function serve(addr, set, h = handler) {
  const server = http.createServer(h);
  server.keepAliveTimeout = 60000;
  server.on('checkContinue', h);
  server.on('upgrade', (req, socket, head) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    if (head.length) socket.write(head);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.on('connect', (req, socket, head) => {
    const [host, port] = req.url.split(':');
    const out = net.connect(port, host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      out.write(head);
      out.pipe(socket);
      socket.pipe(out);
    });
    for (const s of [out, socket]) s.on('error', () => { out.destroy(); socket.destroy(); });
  });
  Object.assign(server, set);
  const [host, port] = addr.split(':');
  server.listen(Number(port), host);
}

serve(main, {});
serve(limited, { maxRequestsPerSocket: Number(requests) }, (req, res) => {
  if (req.url === '/seen') return res.end(seen.join('\n'));
  seen.push(req.url);
  handler(req, res);
});
serve(idle, { keepAliveTimeout: 1000 });
process.on('SIGTERM', () => process.exit(0));
