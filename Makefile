# Everything one does here, by the words .ci/run uses too.
GO          ?= go
FUZZTIME    ?= 10s
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
URL         ?=
RUN         ?=

.PHONY: run test race fuzz golden cover bench peers proxy check staticcheck ci

run: # two requests on one connection, shown; URL=http://host:port/path for a server of your own
	@$(GO) run ./cmd/h1run $(if $(URL),'$(URL)')

test:
	$(GO) vet ./...
	$(GO) test ./...

race:
	$(GO) test -race ./...

# Go's fuzzer can fail only because its time was up. So a target that failed is run again, unless
# it kept an input: that is a finding, even if it might not fail a second time.
fuzz: # each target of each package, FUZZTIME long
	@set -e; found=0; for pkg in $$($(GO) list ./...); do \
		targets=$$($(GO) test -list '^Fuzz' $$pkg); \
		for target in $$(echo "$$targets" | grep '^Fuzz'); do \
			found=1; echo "== $$pkg $$target"; \
			fuzz="$(GO) test -run ^$$ -fuzz ^$$target$$ -fuzztime $(FUZZTIME) $$pkg"; \
			kept="ls $$($(GO) list -f '{{.Dir}}' $$pkg)/testdata/fuzz/$$target"; before=$$($$kept 2>/dev/null || :); \
			$$fuzz || { [ "$$($$kept 2>/dev/null || :)" = "$$before" ] || exit 1; \
				echo "== $$target failed, and is run again"; $$fuzz; }; \
		done; \
	done; [ $$found = 1 ] || { echo "no fuzz target found"; exit 1; }

golden: # writes testdata anew; git diff shows what a change of the rules means
	$(GO) test -count=1 -run States -update .

cover: # of the root package, and fails for a block not run that docs/coverage.md does not name; go tool cover -html=cover.out shows it
	@$(GO) test -count=1 -coverprofile=cover.out . && $(GO) tool cover -func=cover.out | tail -1 && sed -n 's/ [0-9]* 0$$//p' cover.out
	@$(GO) test -count=1 -run '^TestCoverage$$' . -profile=cover.out

bench: # all of them, into bench/RESULTS.md, or RUN=name alone
	cd bench && $(GO) run . $(if $(RUN),-run '$(RUN)',-out RESULTS.md)

peers: # against other people's servers: see peers/doc.go; on Debian it installs them
	cd peers && ./install.sh && $(GO) vet ./... && $(GO) test -count=1 ./...

proxy: # h1http as http.DefaultTransport: http.Client, a reverse proxy and nginx, put to use; installs nginx on Debian
	@cd peers && ./install.sh nginx && $(GO) run ./cmd/proxy

staticcheck:
	$(GO) run $(STATICCHECK) ./...

check: test staticcheck # what a commit needs; make ci is what a merge needs

ci:
	bash .ci/run
