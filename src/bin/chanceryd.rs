//! stub
fn main() -> std::process::ExitCode {
    chancery::pkcs11::run_worker()
}
