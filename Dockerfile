# A static-like image: the binary, the C library and the system's certificates.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN tests/bench/release.sh

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/sluice /usr/local/bin/sluice
EXPOSE 8080 15021
HEALTHCHECK --interval=5s --timeout=2s CMD ["/usr/local/bin/sluice", "health"]
ENTRYPOINT ["/usr/local/bin/sluice"]
CMD ["run", "--config", "/etc/sluice"]
