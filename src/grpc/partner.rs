//! PartnerService.

use std::collections::{BTreeMap, BTreeSet};

use tonic::{Request, Response, Status};

use super::{Services, status::invalid};
use crate::{
    key::pem,
    partner::{Assignment, Partner, PlatformKey, RoleKey},
    proto::v1::{self, partner_service_server::PartnerService},
    signer::{ACCESS_TOKENS, Error, Signer},
    wire::{self, KeyResource, PartnerResource, SchemeResource},
};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl PartnerService for Services {
    async fn list_partners(
        &self,
        request: Request<v1::ListPartnersRequest>,
    ) -> Answer<v1::ListPartnersResponse> {
        let call = self.call(&request, "PartnerService.ListPartners")?;
        let asked = request.into_inner();
        let partners = self.signer.visible_partners(&call);
        let name = |partner: &std::sync::Arc<Partner>| partner.name().to_string();
        let (page, next_page_token) = page(partners, asked.page_size, &asked.page_token, name)?;
        Ok(Response::new(v1::ListPartnersResponse {
            partners: page.iter().map(|one| describe(&self.signer, one)).collect(),
            next_page_token,
        }))
    }

    async fn get_partner(
        &self,
        request: Request<v1::GetPartnerRequest>,
    ) -> Answer<v1::GetPartnerResponse> {
        let call = self.call(&request, "PartnerService.GetPartner")?;
        let PartnerResource(name) = request
            .get_ref()
            .name
            .parse()
            .map_err(|error| invalid("PARTNER_NAME_INVALID", format!("`name`: {error}")))?;
        let partner = self.signer.partner(&call, &name).await?;
        Ok(Response::new(v1::GetPartnerResponse {
            partner: Some(describe(&self.signer, &partner)),
        }))
    }

    async fn list_schemes(
        &self,
        request: Request<v1::ListSchemesRequest>,
    ) -> Answer<v1::ListSchemesResponse> {
        let _authenticated = self.call(&request, "PartnerService.ListSchemes")?;
        let asked = request.into_inner();
        let schemes: Vec<_> = self.signer.partners().schemes().cloned().collect();
        let (page, next_page_token) =
            page(schemes, asked.page_size, &asked.page_token, |scheme| {
                scheme.name().to_string()
            })?;
        Ok(Response::new(v1::ListSchemesResponse {
            schemes: page.iter().map(|one| wire::scheme_to_proto(one)).collect(),
            next_page_token,
        }))
    }

    async fn get_scheme(
        &self,
        request: Request<v1::GetSchemeRequest>,
    ) -> Answer<v1::GetSchemeResponse> {
        let _authenticated = self.call(&request, "PartnerService.GetScheme")?;
        let SchemeResource(name) = request
            .get_ref()
            .name
            .parse()
            .map_err(|error| invalid("SCHEME_NAME_INVALID", format!("`name`: {error}")))?;
        let partners = self.signer.partners();
        let scheme = partners.scheme(&name).ok_or(Error::NoSuchScheme(name))?;
        Ok(Response::new(v1::GetSchemeResponse {
            scheme: Some(wire::scheme_to_proto(scheme)),
        }))
    }
}

/// The page that is asked for, and the token of the next. The token is the name that a page ended with: it stays
/// right when files come and go.
fn page<T>(
    mut all: Vec<T>,
    size: i32,
    token: &str,
    name: impl Fn(&T) -> String,
) -> Result<(Vec<T>, String), Status> {
    let size = match size {
        0 => 100,
        1.. => size.min(1000) as usize,
        _ => {
            return Err(invalid(
                "PAGE_SIZE_INVALID",
                format!("`page_size` is {size}; expected 0 to 1000"),
            ));
        }
    };
    all.retain(|one| name(one).as_str() > token);
    let more = all.len() > size;
    all.truncate(size);
    let last = all.last().filter(|_| more);
    let token = last.map(name).unwrap_or_default();
    Ok((all, token))
}

fn describe(signer: &Signer, partner: &Partner) -> v1::Partner {
    let scheme = |(name, assignment): (&_, &Assignment)| v1::PartnerScheme {
        scheme: SchemeResource(Clone::clone(name)).to_string(),
        acts: assignment
            .acts()
            .map(|act| wire::act_to_proto(act).into())
            .collect(),
        keys: keys(signer, partner, assignment),
    };
    v1::Partner {
        name: PartnerResource(partner.name().clone()).to_string(),
        title: partner.title().to_owned(),
        schemes: partner.schemes().map(scheme).collect(),
        constants: constants(partner).into_iter().collect(),
    }
}

/// By name; where two schemes have different values, as `SCHEME.NAME`.
fn constants(partner: &Partner) -> BTreeMap<String, String> {
    let mut values: BTreeMap<&str, BTreeSet<&[u8]>> = BTreeMap::new();
    for (_, assignment) in partner.schemes() {
        for (name, value) in assignment.constants() {
            values.entry(name).or_default().insert(value);
        }
    }
    let shown = |(scheme, assignment): (&_, &'_ Assignment)| {
        let one = |(name, value): (&String, &Vec<u8>)| {
            let several = values.get(name.as_str()).is_some_and(|all| all.len() > 1);
            let name = match several {
                true => format!("{scheme}.{name}"),
                false => name.clone(),
            };
            (name, String::from_utf8_lossy(value).into_owned())
        };
        assignment.constants().iter().map(one).collect::<Vec<_>>()
    };
    partner.schemes().flat_map(shown).collect()
}

fn keys(signer: &Signer, partner: &Partner, assignment: &Assignment) -> Vec<v1::PartnerKey> {
    let key = |role: &str| match assignment.key(role) {
        Some(RoleKey::Token(key)) => (KeyResource::from(key.name.clone()).to_string(), vec![]),
        Some(RoleKey::Public(keys)) => (String::new(), keys.iter().map(public_key).collect()),
        None => (String::new(), vec![]),
    };
    let ready = |role: &str| {
        let problem = signer.readiness(partner, assignment, role).err();
        let why = problem.map(|not| not.why).unwrap_or_default();
        (why.is_empty(), why)
    };
    let mut keys: Vec<_> = assignment
        .scheme()
        .keys()
        .map(|(role, declared)| {
            let ((key, public_keys), (ready, problem)) = (key(role), ready(role));
            let encoding = declared.secret_encoding.as_ref();
            v1::PartnerKey {
                role: role.to_owned(),
                algorithm: wire::algorithm_to_proto(declared.algorithm).into(),
                description: declared.description.clone(),
                key,
                public_keys,
                secret_encoding: encoding.map(ToString::to_string).unwrap_or_default(),
                ready,
                problem,
            }
        })
        .collect();
    keys.extend(assignment.access_tokens().map(|tokens| {
        let (ready, problem) = ready(ACCESS_TOKENS);
        v1::PartnerKey {
            role: ACCESS_TOKENS.to_owned(),
            algorithm: v1::Algorithm::Unspecified.into(),
            description: "what access tokens for the partner are made with".to_owned(),
            key: KeyResource::from(tokens.key.clone()).to_string(),
            public_keys: vec![],
            secret_encoding: String::new(),
            ready,
            problem,
        }
    }));
    keys
}

fn public_key(key: &PlatformKey) -> v1::PartnerPublicKey {
    v1::PartnerPublicKey {
        pem: pem("PUBLIC KEY", key.key.der()),
        sha256: key.key.sha256().to_vec().into(),
        id: key.id.clone().unwrap_or_default(),
    }
}
