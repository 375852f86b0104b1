//! Destroying a version of a key: its objects are gone from the token, for good.

use cryptoki::object::{Attribute, AttributeType, ObjectClass};

use super::{
    super::{
        errors::{Fault, Treatment},
        inventory::{self, RECORD_APPLICATION},
        known::Known,
        protocol::{Inventory, KeyReference},
    },
    Lane, ours,
};

impl Lane {
    /// Destroys the private or secret object, then what is beside it; lists the token anew. A version that is gone
    /// already, such as through another daemon, is no error; another key of the same name is left alone.
    pub(super) fn destroy(&mut self, key: &KeyReference) -> Result<Inventory, Fault> {
        let handle = match self.handle(key) {
            Ok(handle) => Some(handle),
            Err(fault) if fault.treatment == Treatment::Configuration => None,
            Err(fault) => return Err(fault),
        };
        let session = self
            .module
            .pkcs11
            .open_rw_session(self.module.slot)
            .map_err(ours)?;
        if let Some(handle) = handle {
            // By label and identifier, as the object itself has them: adopted keys go by a bare name.
            let names = session
                .get_attributes(handle.object, &[AttributeType::Label, AttributeType::Id])
                .map_err(ours)?;
            session.destroy_object(handle.object).map_err(ours)?;
            if handle.public.is_some() {
                let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY)];
                template.extend(names);
                for public in session.find_objects(&template).map_err(ours)? {
                    session.destroy_object(public).map_err(ours)?;
                }
            }
            let record = [
                Attribute::Class(ObjectClass::DATA),
                Attribute::Application(RECORD_APPLICATION.to_vec()),
                Attribute::Label(key.version.to_string().into_bytes()),
            ];
            for record in session.find_objects(&record).map_err(ours)? {
                session.destroy_object(record).map_err(ours)?;
            }
        }
        let listing = inventory::list(&session, &Known::default()).map_err(ours)?;
        Ok(self.module.adopt(listing))
    }
}
