//! Generates the gRPC service of the tonic peer, as tonic's own generator writes it; without a
//! `.proto` file, so that no protocol compiler is needed.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "tonic")]
    tonic();
}

#[cfg(feature = "tonic")]
fn tonic() {
    use tonic_build::manual::{Builder, Method, Service};

    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("super::{input}"))
            .output_type(format!("super::{output}"))
            .codec_path("tonic_prost::ProstCodec")
    };
    let service = Service::builder()
        .package("compare")
        .name("Counter")
        .method(method("echo", "Echo", "Note", "Note").build())
        .method(method("take", "Take", "Note", "Counted").client_streaming().build())
        .build();
    Builder::new().compile(&[service]);
}
