//! Test only: signs once with each of some keys, in one process, through a PKCS#11 module.
//!
//! `sign-through-module MODULE INPUT SIGNATURE LABEL...` with the PIN on standard input. The input is a digest;
//! the last signature is written, as r||s.

use std::{env, error::Error, fs, io};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, ObjectClass},
    session::UserType,
    types::AuthPin,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("{what} is missing"));
    let (module, input, output) = (
        next("MODULE")?,
        fs::read(next("INPUT")?)?,
        next("SIGNATURE")?,
    );
    let pin = io::read_to_string(io::stdin())?;
    let pkcs11 = Pkcs11::new(module)?;
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slot = *pkcs11
        .get_slots_with_initialized_token()?
        .first()
        .ok_or("there is no token")?;
    let session = pkcs11.open_ro_session(slot)?;
    session.login(UserType::User, Some(&AuthPin::new(pin.trim().into())))?;
    for label in arguments {
        let template = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Label(label.into_bytes()),
        ];
        let key = *session
            .find_objects(&template)?
            .first()
            .ok_or("there is no such key")?;
        fs::write(&output, session.sign(&Mechanism::Ecdsa, key, &input)?)?;
    }
    Ok(())
}
